from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from cronsim import CronSim

import controlplane.config
from controlplane.config import load_jobs, make_params, resolve_options
from controlplane.config.forms import CheckForm, Form, GuardsForm, JobForm, ScheduleForm, ToleranceForm
from controlplane.config.values import cron_of, duration, spell
from controlplane.domain.monitor import (
    CheckSpec,
    Columns,
    Fleet,
    FreezeWindow,
    Guards,
    Limit,
    ModelRef,
    Monitor,
    OnFailure,
    Reaction,
    RiskTier,
    Schedule,
    Serving,
    SourceSpec,
    Tolerance,
)
from controlplane.errors import ConfigError

Write = Callable[..., Path]


def documented() -> tuple[str, str]:
    """The job and the `system.yaml` that the package's docstring shows."""
    blocks = str(controlplane.config.__doc__).split("::\n\n")[1:]
    job, system = (block.partition("\n\nand `")[0].partition("\n\nScalars")[0] for block in blocks)
    return textwrap.dedent(job), textwrap.dedent(system)


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELS_URL", "postgresql://ann:hunter2@db/labels")
    monkeypatch.setenv("ONCALL_URL", "https://hooks.example.org/T0/hunter2")
    monkeypatch.setenv("ONCALL_SECRET", "hunter2")


@pytest.mark.usefixtures("secrets")
def test_the_documented_job_is_this_monitor(write: Write) -> None:
    job, system = documented()
    jobs = load_jobs(write(anything=job, system=system), "tests")
    assert jobs.monitors == (
        Monitor(
            name="insurance",
            model=ModelRef("insurance", "champion"),
            source=SourceSpec("files", {"path": "../data/insurance/*.parquet"}),
            columns=Columns(
                "at", "id", "model_version", "prediction", "probability", "visits", features=("age", "income")
            ),
            schedule=Schedule(
                "0 * * * *", timedelta(hours=1), timedelta(minutes=5), datetime(2026, 1, 1, tzinfo=UTC), 24
            ),
            checks=(
                CheckSpec(
                    "inputs",
                    "drift",
                    {"columns": (), "bins": 20},
                    (Limit("drift", max=0.2, warn=0.1),),
                    30,
                    300.0,
                    4096,
                    False,
                ),
            ),
            reference=SourceSpec("files", {"path": "../data/insurance-reference.parquet"}),
            labels=SourceSpec("sql", {"url": "${LABELS_URL}", "table": "labels"}),
            sample_rows=100_000,
            tolerance=Tolerance(1, 2, 1),
            reaction=Reaction.OBSERVE,
            rollback_targets=("1",),
            guards=Guards(
                timedelta(hours=1),
                timedelta(days=1),
                2,
                timedelta(days=1),
                OnFailure.ESCALATE,
                (FreezeWindow("0 18 * * 5", timedelta(hours=60), "nobody is there at weekends"),),
            ),
            serving=Serving("https://serving.example.org/version", timedelta(seconds=60)),
            receivers=("log", "oncall"),
            owner="risk-team@example.org",
            risk_tier=RiskTier.MEDIUM,
            runbook="https://wiki.example.org/insurance",
            workspace="tests",
        ),
    )
    assert jobs.organization == "Example Ltd"
    assert jobs.fleet == Fleet(
        3,
        {RiskTier.LOW: 5, RiskTier.MEDIUM: 3, RiskTier.HIGH: 1},
        (FreezeWindow("0 0 20 12 *", timedelta(days=14), "year-end freeze"),),
    )
    assert jobs.receivers["oncall"].options == {"url": "${ONCALL_URL}", "secret": "${ONCALL_SECRET}"}
    assert jobs.receivers["log"].kind == "log"
    assert jobs.folder == Path.cwd() / "jobs"


def test_what_is_left_out_is_what_the_domain_says(write: Write, job: str) -> None:
    (monitor,) = load_jobs(write(insurance=job)).monitors
    assert monitor.name == "insurance"
    assert monitor.schedule == Schedule("0 * * * *", timedelta(hours=1))
    assert (monitor.tolerance, monitor.guards, monitor.reaction) == (Tolerance(), Guards(), Reaction.OBSERVE)
    assert monitor.receivers == ("log",)
    drift = monitor.checks[0]
    assert drift == CheckSpec("drift", "drift", {"columns": ("age",), "bins": 10}, drift.limits)


def test_defaults_of_the_system_file_apply_to_jobs_that_are_silent(write: Write, job: str) -> None:
    silent = job.replace("owner: risk-team@example.org\n", "")
    system = "schema: 1\nreceivers: {chat: {kind: log}}\ndefaults: {owner: ml, receivers: [chat]}\n"
    first, second = load_jobs(write(a=silent, b=job + "receivers: []\n", system=system)).monitors
    assert (first.owner, first.receivers) == ("ml", ("chat",))
    assert (second.owner, second.receivers) == ("risk-team@example.org", ())


def test_limits_left_out_are_the_checks_own(write: Write, job: str) -> None:
    (monitor,) = load_jobs(write(a=job.replace("    limits: {drift: {max: 0.2, warn: 0.1}}\n", ""))).monitors
    assert monitor.checks[0].limits == (Limit("drift", max=0.3),)


def test_the_digest_is_blind_to_key_order_and_comments(write: Write, job: str) -> None:
    data = yaml.safe_load(job)
    other = "# a comment\n" + yaml.safe_dump(dict(reversed(data.items())), sort_keys=False)
    limits = "  - check: performance\n    limits: {accuracy: {min: 0.8}, log_loss: {max: 1}}\n"
    turned = "  - check: performance\n    limits: {log_loss: {max: 1.0}, accuracy: {min: 0.8}}\n"
    folder = write(a=job, b=other.replace("schema: 1", "schema: 1\nname: a-b"))
    (folder / "a.yaml").write_text(job.replace("schema: 1", "schema: 1\nname: b-a"))
    first, second = load_jobs(folder).monitors
    assert first.canonical() == second.canonical().replace('"a-b"', '"b-a"')
    digests = [load_jobs(write(a=job + text, b=job)).monitors[0].digest for text in (limits, turned, "")]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.usefixtures("secrets")
def test_a_secret_never_reaches_the_canonical_form(write: Write) -> None:
    job, system = documented()
    jobs = load_jobs(write(a=job, system=system))
    assert "hunter2" not in jobs.monitors[0].canonical() + repr(jobs)
    labels = jobs.monitors[0].labels
    assert labels is not None
    assert resolve_options(labels.options, jobs.folder)["url"] == "postgresql://ann:hunter2@db/labels"


def test_an_unset_variable_is_named_when_options_are_resolved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the environment variable NO_SUCH_URL is not set"):
        resolve_options({"storage_options": {"auth": ["${NO_SUCH_URL}"]}}, tmp_path)


def test_params_are_made_strictly_and_nested() -> None:
    assert make_params("checks", "drift", {"columns": ["a"]}).columns == ("a",)
    with pytest.raises(ConfigError, match=r"^drift: bins is '3'; it must be a whole number$"):
        make_params("checks", "drift", {"bins": "3"})
    with pytest.raises(ConfigError, match=r"^webhook: a webhook's url must be"):
        make_params("notifiers", "webhook", {"url": "hunter2"})
    with pytest.raises(ConfigError, match=r"^drift has no option 'bin'; did you mean 'bins'\?$"):
        make_params("checks", "drift", {"bin": 3})


@pytest.mark.parametrize("every", ["1m", "5m", "30m", "1h", "6h", "12h", "1d", "1w"])
def test_windows_of_a_shorthand_lie_end_to_end(every: str) -> None:
    slots = CronSim(cron_of(duration(every)), datetime(2026, 1, 1, 0, 0, tzinfo=UTC))
    moments = [next(slots) for _ in range(60)]
    assert {later - earlier for earlier, later in pairwise(moments)} == {duration(every)}


@pytest.mark.parametrize("text", ["0s", "90s", "5m", "36h", "2d", "1w"])
def test_a_duration_is_spelled_as_it_was_written(text: str) -> None:
    assert spell(duration(text)) == text


def test_scalars_are_those_of_yaml_1_2(write: Write, job: str) -> None:
    text = job.replace("event_time: at", "event_time: on").replace("prediction: prediction", "prediction: no")
    (monitor,) = load_jobs(write(a=text.replace("warn: 0.1", "warn: 1e-1"))).monitors
    assert (monitor.columns.event_time, monitor.columns.prediction) == ("on", "no")
    assert monitor.checks[0].limits[0].warn == 0.1


def test_an_anchor_may_be_used_twice(write: Write, job: str) -> None:
    text = job.replace("source: {", "source: &rows {").replace(
        "reference: {kind: files, path: ../data/reference.parquet}", "reference: *rows"
    )
    (monitor,) = load_jobs(write(a=text)).monitors
    assert monitor.reference == monitor.source


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (ScheduleForm, Schedule),
        (ToleranceForm, Tolerance),
        (GuardsForm, Guards),
        (CheckForm, CheckSpec),
        (JobForm, Monitor),
    ],
)
def test_a_job_can_say_everything_that_the_domain_holds(form: type[Form], value: type[Any]) -> None:
    assert {field.name for field in fields(value)} - {"kind", "workspace"} <= set(form.model_fields)


def test_importing_the_configuration_imports_no_heavy_library() -> None:
    heavy = "mlflow torch art evidently pandas sklearn scipy sqlalchemy streamlit transformers"
    code = f"import sys, controlplane.config; print([name for name in '{heavy}'.split() if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
