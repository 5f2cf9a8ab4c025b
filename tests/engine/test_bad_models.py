"""Models that raise, hang, grow, die, answer nonsense or are gone: one check's ERROR, and nothing else stops."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable

import pytest
from world import World

from controlplane.domain.verdict import Outcome
from controlplane.engine import cycle, references, register
from controlplane.engine.context import Context
from controlplane.engine.run import Run
from controlplane.store import actions, incidents

MakeWorld = Callable[..., World]

CODE = """
import os
import signal
import time

import mlflow
import numpy as np


class Bad(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        {does}


mlflow.models.set_model(Bad())
"""

BAD = {
    "raises": ("raise RuntimeError('no luck at https://me:secret@host/x\\\\nsecond line')", "no luck"),
    "hangs": ("time.sleep(600)", "did not end within its limit of 3 s"),
    "grows": ("return np.ones(4_000_000_000)", "memory limit of 1024 MiB"),
    "leaves": ("os._exit(7)", "its process ended with exit code 7"),
    "dies": ("os.kill(os.getpid(), signal.SIGKILL)", "its process was killed by SIGKILL"),
    "answers too few": ("return np.ones(3)", "3"),
    "answers words": ("return np.array(['no idea'] * len(model_input))", "predictions such as 'no idea'"),
    "answers nothing": ("return None", "version 3 answered an array of shape ()"),
    "exits": ("raise SystemExit(0)", "SystemExit"),
}


def log_bad(world: World, does: str, columns: tuple[str, ...] = ("a", "b")) -> str:
    """Register one more version of the world's model, from code that does this; its number."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    takes = Schema([ColSpec("double", name) for name in columns])
    code = world.home / "bad.py"
    code.write_text(CODE.format(does=does))
    kept = dict(os.environ)
    mlflow.set_tracking_uri(world.settings.tracking_uri)
    mlflow.set_registry_uri(world.settings.registry_uri)
    client = world.client()
    experiment = client.create_experiment("bad", artifact_location=(world.home / "bad-artifacts").as_uri())
    try:
        with warnings.catch_warnings(), mlflow.start_run(experiment_id=experiment):
            warnings.simplefilter("ignore")
            logged = mlflow.pyfunc.log_model(
                python_model=str(code),
                name="bad",
                signature=ModelSignature(takes, Schema([ColSpec("long")])),
                registered_model_name="scorer",
                pip_requirements=["mlflow"],
            )
    finally:
        os.environ.clear()
        os.environ.update(kept)
    return str(logged.registered_model_version)


def tick(context: Context) -> Run:
    (run,) = cycle.tick(context)
    return run


def outcomes(run: Run) -> dict[str, str]:
    return {check.check: check.outcome.value for check in run.verdict.checks}


def why(run: Run, check: str) -> str:
    return next(each.why for each in run.verdict.checks if each.check == check)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world whose rows carry no prediction, so that `performance` asks the model, with short limits."""
    world = make_world(reaction="rollback")
    job = world.home / "jobs" / "scorer.yaml"
    text = job.read_text().replace("timeout: 60s", "timeout: 3s\n    memory: 1GiB")
    # The sibling looks at the inputs alone, and its reference needs no model.
    text = text.replace("prediction: prediction, ", "").replace("checks:\n", "checks:\n  - check: drift\n", 1)
    job.write_text(text)
    return world


@pytest.mark.parametrize("name", BAD)
def test_a_model_that_misbehaves_costs_its_own_check_only(world: World, name: str) -> None:
    does, said = BAD[name]
    version = log_bad(world, does)
    world.release(version)
    world.publish(0, version, prediction=False)
    with world.open() as context:
        register.register(context)
        run = tick(context)
    assert outcomes(run) == {"registry": "PASS", "source": "PASS", "drift": "PASS", "performance": "ERROR"}
    assert said in why(run, "performance")
    assert "\n" not in run.verdict.why
    assert "secret" not in run.verdict.why


def test_a_version_whose_files_are_gone_is_an_error_of_the_check_that_needs_it(world: World) -> None:
    version = log_bad(world, "return np.ones(len(model_input))")
    shutil.rmtree(world.home / "bad-artifacts")
    world.release(version)
    world.publish(0, version, prediction=False)
    with world.open() as context:
        register.register(context)
        run = tick(context)
    assert outcomes(run)["performance"] == "ERROR"
    assert outcomes(run)["drift"] == "PASS"
    assert f"version {version}" in why(run, "performance")


def test_a_model_that_wants_other_columns_names_the_one_that_is_not_there(world: World) -> None:
    version = log_bad(world, "return np.ones(len(model_input))", columns=("income",))
    world.release(version)
    world.publish(0, version, prediction=False)
    with world.open() as context:
        register.register(context)
        run = tick(context)
    assert outcomes(run) == {"registry": "PASS", "source": "PASS", "drift": "PASS", "performance": "ERROR"}
    assert f"version {version} needs the column income" in why(run, "performance")


def test_rows_without_a_prediction_are_put_to_the_model(world: World) -> None:
    world.publish(0, "1", prediction=False)
    with world.open() as context:
        register.register(context)
        run = tick(context)
    assert outcomes(run) == {"registry": "PASS", "source": "PASS", "drift": "PASS", "performance": "PASS"}
    (accuracy,) = [finding for finding in run.findings if finding.measure == "accuracy"]
    assert accuracy.estimate == pytest.approx(0.95, abs=0.03)


def test_rows_of_a_version_that_was_deleted_cost_that_versions_check_only(world: World) -> None:
    version = log_bad(world, "return np.ones(len(model_input))")
    world.release(version)
    with world.open() as context:
        register.register(context)
        references.ensure(context, context.monitors["scorer"], version)
    world.release("1")
    world.client().delete_model_version("scorer", version)
    world.publish(0, version, prediction=False)
    (world.home / "data" / "rows-000.parquet").rename(world.home / "data" / "rows-late.parquet")
    world.publish(0, "1", prediction=False)
    with world.open() as context:
        register.register(context)
        run = tick(context)
    assert outcomes(run) == {"registry": "PASS", "source": "PASS", "drift": "PASS", "performance": "ERROR"}
    judged = {
        finding.version: finding for finding in run.findings if finding.check == "performance" and finding.outcome
    }
    assert (judged["1"].outcome, judged[version].outcome) == (Outcome.PASS, Outcome.ERROR)
    assert f"version {version}" in judged[version].why


@pytest.mark.parametrize("name", ["raises", "hangs", "grows", "leaves", "dies", "answers too few"])
def test_a_candidate_that_cannot_answer_refuses_the_rollback_and_the_incident_turns_critical(
    make_world: MakeWorld, name: str
) -> None:
    does, said = BAD[name]
    world = make_world(reaction="rollback")
    candidate = log_bad(world, does)
    job = world.home / "jobs" / "scorer.yaml"
    text = job.read_text().replace("timeout: 60s", "timeout: 3s\n    memory: 1GiB")
    job.write_text(text + f'rollback_targets: ["{candidate}"]\n')
    world.release("2")
    world.publish(0, "2")
    with world.open() as context:
        register.register(context)
        run = tick(context)
        with context.store.begin() as session:
            (action,) = actions.find_action(session, "default", "")
            incident = incidents.open_incidents(session, "default", "scorer")["performance"]
    assert outcomes(run)["performance"] == "FAIL"
    assert (action.state, action.code, action.to_version) == ("refused", "not_measured", candidate)
    assert said in action.why
    assert "\n" not in action.why and "secret" not in action.why
    assert incident.severity.value == "critical"
    assert world.champion() == "2"
