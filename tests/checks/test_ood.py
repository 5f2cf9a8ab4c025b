"""Out of distribution: planted strangers of each kind are told from rows of the reference, and none is invented."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from controlplane.checks.ood import Ood, OodParams
from controlplane.checks.ood_distance import learn
from controlplane.checks.ood_energy import OodEnergy, OodEnergyParams
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.models.inputs import Inputs
from controlplane.models.torch import Torch
from controlplane.ports import Sample
from controlplane.profiles import Reference, build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", row_id="id")
DATA = Path(__file__).parents[3] / "shared" / "data"


def people(n: int, seed: int) -> dict[str, Any]:
    """Numbers of which two go together, a count, categories, and a flag."""
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 12, n)
    return {
        "age": age,
        "income": np.exp(age / 15 + rng.normal(0, 0.15, n)),
        "visits": rng.poisson(3, n),
        "city": rng.choice(np.array(["oslo", "rome", "york"]), n, p=[0.5, 0.3, 0.2]),
        "smoker": rng.random(n) < 0.25,
    }


def reference_of(columns: dict[str, Any]) -> Reference:
    return build_reference(pa.table(columns).to_batches, COLUMNS, "1")


@pytest.fixture(scope="module")
def known() -> Reference:
    return reference_of(people(6000, 0))


def measured(rows: dict[str, Any], reference: Reference | None, **params: Any) -> dict[str, Measure]:
    sample = Sample(WINDOW, pa.table(rows), COLUMNS, version="1", reference=reference)
    return {measure.name: measure for measure in Ood().measure(sample, OodParams(**params))}


def test_rows_like_the_reference_are_in() -> None:
    shares, covered = [], 0
    for seed in range(25):
        found = measured(people(400, 100 + seed), reference_of(people(2000, seed)))
        shares.append(found["ood_share"].estimate)
        excess = found["ood_excess"]
        assert excess.low is not None and excess.high is not None
        covered += excess.low <= 0 <= excess.high
    assert np.mean(shares) == pytest.approx(0.01, abs=0.006)
    assert covered >= 23


STRANGERS = {
    "past the range": {"age": lambda rng, column: column + rng.choice([-90, 90], len(column))},
    "infinite": {"income": lambda rng, column: np.full(len(column), np.inf)},
    "unseen": {"city": lambda rng, column: np.full(len(column), "atlantis")},
    "missing": {"age": lambda rng, column: np.full(len(column), np.nan)},
    "shuffled": {"age": lambda rng, column: rng.permutation(column)},
}


@pytest.mark.parametrize(("kind", "least"), [(kind, 0.25 if kind == "shuffled" else 0.99) for kind in STRANGERS])
def test_strangers_are_out_and_the_column_that_makes_them_strange_is_named(
    known: Reference, kind: str, least: float
) -> None:
    columns = people(600, 1)
    ((name, change),) = STRANGERS[kind].items()
    columns[name] = change(np.random.default_rng(2), columns[name])
    found = measured(columns, known)
    assert found["ood_share"].estimate >= least
    assert found["ood_excess"].low is not None and found["ood_excess"].low > 0.2
    said = found["ood_share"].detail.partition("; the farthest differ most in ")[2]
    assert name in said.split(",")[0] or (kind == "shuffled" and "income" in said.split(",")[0])
    assert ("does not hold" in said) == (kind != "shuffled")


def test_the_share_is_that_of_the_rows_planted(known: Reference) -> None:
    columns = people(1000, 3)
    columns["city"] = np.where(np.arange(1000) < 200, "atlantis", columns["city"])
    found = measured(columns, known)
    assert found["ood_share"].estimate == pytest.approx(0.21, abs=0.01)
    assert found["ood_excess"].estimate == pytest.approx(0.2, abs=0.015)
    assert found["ood_share"].n == 1000


def auc(reference: Reference, usual: dict[str, Any], strange: dict[str, Any]) -> float:
    distances = learn(reference, (), 0.99)
    scores = [distances.of(pa.table(columns)) for columns in (usual, strange)]
    truth = np.concatenate([np.full(len(part), place) for place, part in enumerate(scores)])
    return float(roc_auc_score(truth, np.concatenate(scores)))


def columns_of(values: np.ndarray) -> dict[str, Any]:
    return {f"x{place}": values[:, place] for place in range(values.shape[1])}


def test_points_between_clusters_and_broken_correlations_rank_above_rows_of_the_reference() -> None:
    rng = np.random.default_rng(4)
    centres = rng.normal(0, 4, (6, 10))
    clustered = [centres[rng.integers(0, 6, n)] + rng.normal(size=(n, 10)) for n in (8000, 1000)]
    which = rng.integers(0, 6, 1000)
    between = (centres[which] + centres[(which + rng.integers(1, 6, 1000)) % 6]) / 2 + rng.normal(size=(1000, 10))
    assert auc(reference_of(columns_of(clustered[0])), columns_of(clustered[1]), columns_of(between)) > 0.93
    tied = [np.exp(rng.normal(size=(n, 1)) + 0.6 * rng.normal(size=(n, 10))) for n in (8000, 1000)]
    broken = np.stack([rng.permutation(column) for column in tied[1].T], axis=1)
    assert auc(reference_of(columns_of(tied[0])), columns_of(tied[1]), columns_of(broken)) > 0.9


@pytest.mark.skipif(not DATA.exists(), reason="the hotel bookings are not here")
def test_real_bookings_with_shuffled_columns_rank_above_real_ones() -> None:
    table = pq.read_table(DATA / "reference_hotel_booking.parquet")
    left_out = {"id", "timestamp", "y_true", "y_pred", "y_pred_proba", "is_canceled"}
    table = table.select([name for name in table.column_names if name not in left_out])
    rng = np.random.default_rng(5)
    table = table.take(rng.permutation(table.num_rows))
    usual, learnt = table.slice(0, 2000), table.slice(2000, 10_000)
    mixed = {name: usual[name].take(rng.permutation(2000)) for name in usual.column_names}
    reference = build_reference(learnt.to_batches, Columns("timestamp"))
    assert auc(reference, {name: usual[name] for name in usual.column_names}, mixed) > 0.8


def test_images_are_told_by_their_vectors() -> None:
    pixels = np.random.default_rng(6).permutation(load_digits().data / 16)
    reference = reference_of({"pixels": list(pixels[:1300])})
    fine = measured({"pixels": list(pixels[1300:])}, reference)
    assert fine["ood_share"].estimate < 0.05
    for strange in (1 - pixels[1300:], pixels[1300:, ::-1][:, ::2].repeat(2, axis=1)):
        assert measured({"pixels": list(strange)}, reference)["ood_share"].estimate > 0.8
    short = measured({"pixels": list(pixels[1300:, :60])}, reference)
    assert (
        short["ood_share"].estimate == 1.0
        and "pixels (100%, values the reference does not hold)" in short["ood_share"].detail
    )


def test_hostile_columns_of_the_reference_are_lived_with() -> None:
    rng = np.random.default_rng(7)
    hostile = {
        "constant": np.full(600, 3.0),
        "empty": pa.nulls(600, pa.float64()),
        "huge": np.where(rng.random(600) < 0.5, 1e308, -1e308),
        "zeros": np.where(rng.random(600) < 0.98, 0.0, rng.random(600)),
        "boundless": np.where(rng.random(600) < 0.1, np.inf, rng.normal(size=600)),
        "gaps": np.where(rng.random(600) < 0.3, np.nan, rng.normal(size=600)),
        "same vector": [[1.0, 2.0]] * 600,
        "some": pa.array(["a", "b", None] * 200),
        "when": [START] * 600,
    }
    reference = reference_of(hostile)
    assert measured(hostile, reference)["ood_share"].estimate < 0.04
    assert measured({**hostile, "constant": np.full(600, 4.0)}, reference)["ood_share"].estimate == 1.0
    assert measured({**hostile, "same vector": [[1.0, 3.0]] * 600}, reference)["ood_share"].estimate == 1.0
    later = {**hostile, "when": [START + timedelta(days=900)] * 600}
    assert measured(later, reference)["ood_share"].estimate < 0.04


def test_names_that_never_end_are_not_strange_for_being_new() -> None:
    rng = np.random.default_rng(8)
    names = np.array([f"n{i}" for i in range(40)])
    often = 1 / np.arange(1, 41)

    def tail(n: int) -> np.ndarray:
        new = rng.integers(100, 10**6, n).astype(str)
        return np.where(rng.random(n) < 0.04, new, rng.choice(names, n, p=often / often.sum()))

    reference = reference_of({"who": tail(4000), "x": rng.normal(size=4000)})
    assert measured({"who": tail(1000), "x": rng.normal(size=1000)}, reference)["ood_share"].estimate < 0.03


def test_no_number_at_all_is_measured_by_categories_alone() -> None:
    rng = np.random.default_rng(9)
    reference = reference_of({"city": rng.choice(np.array(["a", "b", "c"]), 2000)})
    assert measured({"city": ["a", "b"] * 50}, reference)["ood_share"].estimate == 0.0
    assert measured({"city": ["z"] * 100}, reference)["ood_share"].estimate == 1.0


def test_what_cannot_be_measured_is_one_sentence(known: Reference) -> None:
    rows = people(100, 10)
    with pytest.raises(CheckError, match="the monitor has none"):
        measured(rows, None)
    with pytest.raises(CheckError, match="the reference has no column 'height'; it has age, income"):
        measured(rows, known, columns=("height",))
    with pytest.raises(NotEnoughData, match="100 reference rows; ood needs 200"):
        measured(rows, reference_of(rows))
    with pytest.raises(NotEnoughData, match="29 rows; ood needs 30"):
        measured(people(29, 11), known)
    with pytest.raises(CheckError, match="no column with values"):
        measured({"a": [1.0] * 50}, reference_of({"a": pa.nulls(500, pa.float64())}))
    with pytest.raises(ValueError, match=r"quantile must lie between 0\.5 and 1, not 99"):
        OodParams(quantile=99.0)


def test_only_the_named_columns_are_looked_at(known: Reference) -> None:
    columns = {**people(100, 12), "city": ["atlantis"] * 100}
    assert measured(columns, known, columns=("age", "income"))["ood_share"].estimate < 0.05


def test_what_the_page_budget_is_told_is_the_share_on_its_harmful_side(known: Reference) -> None:
    sample = Sample(WINDOW, pa.table(people(500, 13)), COLUMNS, reference=known)
    (share,) = Ood().statistics(sample, OodParams(), Ood().measure(sample, OodParams()))
    assert (share.name, share.side, share.n) == ("ood_share", 1, 500)


@pytest.fixture(scope="module")
def digits() -> dict[str, Any]:
    """A small net that learnt eight of the ten digits; the other two are what it never saw."""
    data = load_digits()
    order = np.random.default_rng(14).permutation(len(data.target))
    pixels, target = (data.data[order] / 16).astype(np.float32), data.target[order]
    seen = target < 8
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.ReLU(), torch.nn.Linear(48, 8))
    learn_x, learn_y = torch.from_numpy(pixels[seen][:700]), torch.from_numpy(target[seen][:700])
    steps = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(150):
        steps.zero_grad()
        torch.nn.functional.cross_entropy(net(learn_x), learn_y).backward()
        steps.step()
    model = Torch("1", net.eval(), Inputs("1", shape=(-1, 64)))
    reference = build_reference(pa.table({"pixels": list(pixels[seen][700:1200])}).to_batches, COLUMNS)
    return {"model": model, "reference": reference, "usual": pixels[seen][1200:], "strange": pixels[~seen]}


def energies(digits: dict[str, Any], pixels: np.ndarray, **params: Any) -> dict[str, Measure]:
    sample = Sample(
        WINDOW, pa.table({"pixels": list(pixels)}), COLUMNS, reference=digits["reference"], model=digits["model"]
    )
    return {measure.name: measure for measure in OodEnergy().measure(sample, OodEnergyParams(**params))}


def test_energy_is_minus_the_log_sum_of_the_exponents_and_tells_digits_never_learnt(digits: dict[str, Any]) -> None:
    params = {"quantile": 0.95}
    usual, strange = (energies(digits, digits[name], **params) for name in ("usual", "strange"))
    assert usual["ood_share"].estimate < 0.12 and strange["ood_excess"].low > 0.2
    with torch.inference_mode():
        before, now = (
            -torch.logsumexp(digits["model"].net(torch.from_numpy(x)).double(), dim=1).numpy()
            for x in (np.stack(digits["reference"].rows["pixels"].to_pylist()).astype(np.float32), digits["strange"])
        )
    edge = np.quantile(before, 0.95, method="higher")
    assert strange["ood_share"].estimate == pytest.approx(np.mean(now > edge))


def test_a_model_without_logits_is_one_sentence(digits: dict[str, Any]) -> None:
    net = torch.nn.Sequential(digits["model"].net, torch.nn.Softmax(dim=1))
    with pytest.raises(CheckError, match="version 1 answers probabilities, which always add up to the same"):
        energies({**digits, "model": replace(digits["model"], net=net)}, digits["usual"])
    with pytest.raises(CheckError, match=r"answers shape \(500, 1\); an energy needs logits of two classes"):
        one = torch.nn.Linear(64, 1)
        energies({**digits, "model": replace(digits["model"], net=one)}, digits["usual"])
    with pytest.raises(CheckError, match="version 1 gave no logits: RuntimeError"):
        energies({**digits, "model": replace(digits["model"], net=torch.nn.Linear(3, 2))}, digits["usual"])
    with pytest.raises(CheckError, match="asks a model, and none is at hand"):
        energies({**digits, "model": None}, digits["usual"])
