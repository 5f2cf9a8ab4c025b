"""`evasion` on two real digit readers from a real registry: one hardened against the attack, one not."""

import logging
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from controlplane.checks.attack import EvasionParams
from controlplane.checks.evasion import Evasion
from controlplane.domain.action import Accepted, Plan, Proof, accept
from controlplane.domain.attribution import compare
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.models import open_model
from controlplane.models.inputs import Inputs
from controlplane.models.torch import Torch
from controlplane.ports import Model, Sample
from controlplane.registry import Registry

pytestmark = [
    # MLflow maps its tables with a loader that SQLAlchemy 2.1 deprecates, and warns of its own type hints at import.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", label="digit", features=("pixels",))


def reader(hardened: bool) -> Any:
    """A small CNN on scikit-learn's digits; the hardened one learns from PGD examples of the same size."""
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images[:1200] / 16, dtype=torch.float32)[:, None]
    labels = torch.tensor(digits.target[:1200])
    loss = torch.nn.functional.cross_entropy
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(256, 10),
        )
        optimiser = torch.optim.Adam(net.parameters(), 5e-3)
        for _ in range(10):
            for batch in torch.randperm(1200).split(100):
                given = images[batch]
                if hardened:
                    shift = (torch.rand_like(given) - 0.5) * 0.2
                    for _ in range(4):
                        shift.requires_grad_(True)
                        (slope,) = torch.autograd.grad(loss(net(given + shift), labels[batch]), shift)
                        shift = (shift + 0.05 * slope.sign()).clamp(-0.1, 0.1).detach()
                    given = (given + shift).clamp(0, 1)
                optimiser.zero_grad()
                loss(net(given), labels[batch]).backward()
                optimiser.step()
    return net.eval()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """Version 1, hardened, and version 2, plain, logged to MLflow and opened from there."""
    import mlflow
    import torch
    from mlflow.models import infer_signature

    home: Path = tmp_path_factory.mktemp("registry")
    uri, before = f"sqlite:///{home}/mlflow.db", mlflow.get_tracking_uri()
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # MLflow advises on how to log a model; these are logged so on purpose.
    warnings.filterwarnings("ignore", ".*input example", UserWarning)
    torch.set_num_threads(1)
    signature = infer_signature(np.zeros((2, 1, 8, 8), np.float32), np.zeros((2, 10), np.float32))
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        experiment = mlflow.create_experiment("digits", artifact_location=f"file://{home}/artifacts")
        for hardened in (True, False):
            with mlflow.start_run(experiment_id=experiment):
                mlflow.pytorch.log_model(
                    reader(hardened),
                    name="model",
                    signature=signature,
                    serialization_format="pickle",
                    registered_model_name="digits",
                    pip_requirements=[],
                )
    finally:
        mlflow.set_tracking_uri(before)
    return {version: open_model(Registry(uri).address("digits", version), version, uri) for version in ("1", "2")}


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """The 597 digits neither version learned from."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    vectors = pa.array(list((digits.data[1200:] / 16).astype(np.float32)), pa.list_(pa.float32()))
    return pa.table({"at": [START] * 597, "pixels": vectors, "digit": digits.target[1200:]})


def measured(model: Model | None, table: pa.Table, seed: int = 7, previous: Model | None = None, **params: Any) -> Any:
    version = None if model is None else model.version
    sample = Sample(WINDOW, table, COLUMNS, version=version, model=model, previous=previous, seed=seed)
    found = Evasion().measure(sample, EvasionParams(**params))
    by_name: dict[tuple[str, str | None], Measure] = {(measure.name, measure.version): measure for measure in found}
    assert len(by_name) == len(found)
    return by_name


def linear(weights: list[float], bias: float = 0.0, version: str = "1") -> Torch:
    """Two classes over a flat input of `len(weights)` numbers: class 1 where weights . x + bias > 0."""
    import torch

    net = torch.nn.Linear(len(weights), 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-w for w in weights], weights]))
        net.bias.copy_(torch.tensor([-bias, bias]))
    return Torch(version, net.eval(), Inputs(version, shape=(-1, len(weights))))


def flat(values: np.ndarray, labels: Any) -> pa.Table:
    vectors = pa.array(list(values.astype(np.float32)), pa.list_(pa.float32()))
    return pa.table({"at": [START] * len(values), "pixels": vectors, "digit": pa.array(labels)})


def test_the_plain_version_falls_to_the_attack_and_the_replay_proves_the_hardened_one(
    opened: dict[str, Model], rows: pa.Table
) -> None:
    found = measured(opened["2"], rows, previous=opened["1"])
    assert found["clean_accuracy", "2"].estimate > 0.88
    assert found["clean_accuracy", "1"].estimate > 0.85
    gap = found["robust_accuracy_vs_previous", "2"]
    assert gap.high < -0.1
    parts = [found["robust_accuracy", version].estimate for version in ("2", "1")]
    assert gap.estimate == pytest.approx(parts[0] - parts[1])
    assert gap.n == 200
    worse = {name: spec.higher_is_worse for name, spec in Evasion.measures.items()}
    replays = compare(tuple(found.values()), ["robust_accuracy"], "2", worse)
    proof = accept(Plan("2", ("1",), "evasion", ("robust_accuracy",), ""), [Proof("1", tuple(replays))])
    assert isinstance(proof, Accepted)
    assert set(Evasion.measures) == {name for name, _ in found}


def test_the_same_seed_gives_the_same_numbers_and_leaves_the_generators_alone(
    opened: dict[str, Model], rows: pa.Table
) -> None:
    import torch

    np.random.seed(1)
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = measured(opened["2"], rows, previous=opened["1"])
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.get_rng_state(), before[1])
    assert measured(opened["2"], rows, previous=opened["1"]) == first
    assert measured(opened["2"], rows, seed=8) != first


def test_a_larger_ball_leaves_fewer_rows_standing(opened: dict[str, Model], rows: pa.Table) -> None:
    stands = [
        measured(opened["1"], rows, eps=eps, eps_step=eps / 5)["robust_accuracy", "1"].estimate
        for eps in (0.001, 0.05, 0.1, 0.2)
    ]
    assert stands == sorted(stands, reverse=True)
    assert stands[0] > stands[-1] + 0.4
    assert stands[0] <= measured(opened["1"], rows)["clean_accuracy", "1"].estimate


def test_200_digits_and_20_steps_take_less_than_a_second(
    opened: dict[str, Model], rows: pa.Table, capfd: pytest.CaptureFixture[str]
) -> None:
    measured(opened["2"], rows)
    capfd.readouterr()
    started = time.process_time()
    measured(opened["2"], rows)
    assert time.process_time() - started < 1.0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("norm", "reach"), [("inf", math.sqrt(4)), ("l2", 1.0)])
def test_against_a_linear_model_the_attack_reaches_exactly_as_far_as_theory_says(norm: Any, reach: float) -> None:
    # A step of eps moves w.x by eps * |w| in the dual norm: 1-norm for inf (4 * 0.5 = 2), 2-norm for l2 (1).
    rng = np.random.default_rng(4)
    direction = np.array([0.5, -0.5, 0.5, -0.5])
    around = 0.5 + 0.02 * rng.normal(size=(150, 4))
    margin = rng.uniform(-0.4, 0.4, 150)
    values = around + (margin - around @ direction)[:, None] * direction
    labels = (margin > 0).astype(int)
    model = linear(direction.tolist())
    stands = measured(model, flat(values, labels), norm=norm, eps=0.1, eps_step=0.05)["robust_accuracy", "1"]
    assert stands.estimate == pytest.approx(np.mean(np.abs(margin) > 0.1 * reach), abs=0.01)


def test_no_attack_leaves_the_clip_range() -> None:
    # Every input lies on the edge that the attack would have to cross.
    values = np.ones((40, 3))
    found = measured(linear([-1.0, -1.0, -1.0], bias=3.05), flat(values, [1] * 40), eps=0.5, eps_step=0.1)
    assert found["robust_accuracy", "1"].estimate == 1.0


def test_a_row_answered_wrongly_is_never_robust() -> None:
    values = np.full((40, 2), 0.5)
    found = measured(linear([1.0, 1.0], bias=-0.9), flat(values, [1] * 20 + [0] * 20), eps=0.3, eps_step=0.1)
    assert found["clean_accuracy", "1"].estimate == 0.5
    assert found["robust_accuracy", "1"].estimate == 0.0


def test_at_most_the_asked_rows_are_attacked(opened: dict[str, Model], rows: pa.Table) -> None:
    assert measured(opened["2"], rows, rows=50)["robust_accuracy", "2"].n == 50
    assert measured(opened["2"], rows.slice(0, 60))["robust_accuracy", "2"].n == 60


def test_another_version_that_cannot_be_attacked_costs_the_comparison_alone(rows: pa.Table) -> None:
    values = np.full((40, 2), 0.5)
    found = measured(
        linear([1.0, 1.0], version="2"), flat(values, [1] * 40), previous=linear([1.0, 1.0, 1.0], version="1")
    )
    assert set(found) == {("clean_accuracy", "2"), ("robust_accuracy", "2")}
    assert "version 1 could not be compared: column 'pixels' holds vectors of 2 to 2 numbers" in (
        found["robust_accuracy", "2"].detail
    )


def test_too_few_labels_is_not_enough_data(opened: dict[str, Model], rows: pa.Table) -> None:
    with pytest.raises(NotEnoughData, match="29 of 29 rows have a label; 30 are needed"):
        measured(opened["2"], rows.slice(0, 29))


def changed(what: Callable[[Any], Any]) -> Model:
    """The linear model of two inputs, its module wrapped by one that answers `what(logits)`."""
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return what(self.inner(x))

    model = linear([1.0, 1.0])
    return replace(model, net=Wrapped(model.net).eval())


def raised(logits: Any) -> Any:
    raise RuntimeError("out of luck\nsecond line")


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (lambda logits: logits.softmax(dim=1), "answers probabilities; their flat gradient would make it look robust"),
        (lambda logits: logits[:, :1], r"answers shape \(40, 1\); an attack needs logits of at least 2 classes"),
        (lambda logits: logits * float("nan"), "version 1 answered logits that are not finite"),
        (lambda logits: logits.detach(), "version 1 cannot be attacked: RuntimeError"),
        (raised, "version 1 cannot be attacked: RuntimeError: out of luck$"),
    ],
)
def test_a_module_that_cannot_be_attacked_is_one_sentence(what: Any, sentence: str) -> None:
    with pytest.raises(CheckError, match=sentence):
        measured(changed(what), flat(np.full((40, 2), 0.5), [1] * 40))


@pytest.mark.parametrize(
    ("values", "labels", "sentence"),
    [
        (np.full((40, 2), 9.0), [1] * 40, "the inputs reach from 9 to 9, outside of clip 0 to 1; set clip"),
        (np.full((40, 2), np.nan), [1] * 40, "outside of clip 0 to 1"),
        (np.full((40, 2), 0.5), [5] * 40, "no label is a class of version 1: labels 5, classes 0, 1"),
        (np.full((40, 2), 0.5), ["b"] * 40, "labels such as 'b' can never equal classes of version 1 such as 0"),
    ],
)
def test_rows_that_cannot_be_attacked_are_one_sentence(values: np.ndarray, labels: Any, sentence: str) -> None:
    with pytest.raises(CheckError, match=sentence):
        measured(linear([1.0, 1.0]), flat(values, labels))


def test_no_model_is_one_sentence(rows: pa.Table) -> None:
    with pytest.raises(CheckError, match="evasion attacks a model, and none is at hand"):
        measured(None, rows)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"norm": "l3"}, "unknown norm 'l3'; valid: inf, l1, l2"),
        ({"eps": 0}, "eps must be above 0, not 0"),
        ({"steps": -1}, "steps must be above 0, not -1"),
        ({"clip": (1.0, 0.0)}, "clip is the lowest and the highest input"),
        ({"rows": 20}, r"min_labels must be from 2 to rows \(20\), not 30"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        EvasionParams(**params)
