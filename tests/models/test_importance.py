"""Importance of columns: known answers of known models, every type of column, and what cannot be asked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from controlplane.models.importance import FEWEST_ROWS, MOST_ANSWERS, MOST_COLUMNS, importance
from controlplane.models.inputs import Inputs
from controlplane.models.tabular import Tabular
from controlplane.ports import Model

pytestmark = [
    # MLflow maps its tables with a loader that SQLAlchemy 2.1 deprecates, and warns of its own type hints at import.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]


def normals(n: int = 2000, names: str = "abc", seed: int = 7) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({name: rng.normal(size=n) for name in names})


def fitted(estimator: Any, rows: pa.Table, target: np.ndarray) -> Model:
    return Tabular("1", estimator.fit(rows.to_pandas(), target), Inputs("1", tuple(rows.column_names)))


def weighted(estimator: Any, weights: Mapping[str, float]) -> Model:
    """A linear classifier of two classes with just these weights."""
    rows = normals(50, "".join(weights))
    estimator.fit(rows.to_pandas(), rows["a"].to_numpy() > 0)
    estimator.coef_ = np.array([list(weights.values())])
    estimator.intercept_ = np.zeros(1)
    return Tabular("1", estimator, Inputs("1", tuple(weights)))


class Intervals(BaseEstimator):
    """How long each interval is, times its price; refuses one that ends before it starts."""

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        if (frame["end"] < frame["start"]).any():
            raise ValueError("an interval ends before it starts")
        return ((frame["end"] - frame["start"]) * frame["price"]).to_numpy()


class Roots(BaseEstimator):
    """A regressor that has no answer for some rows, and for others only with their own partner."""

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        known = frame["a"] > 0
        return np.where(known & (frame["x"] == frame["y"]), frame["a"] + 0.1 * frame["b"], np.nan)


class Counts:
    """A regressor that remembers how many rows it was asked."""

    version, classes = "1", None

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict(self, rows: pa.Table) -> np.ndarray:
        self.asked.append(rows.num_rows)
        return np.asarray(rows.column(0).to_numpy())

    def probabilities(self, rows: pa.Table) -> np.ndarray | None:
        return None

    def inputs(self, rows: pa.Table) -> np.ndarray:
        return self.predict(rows)

    def module(self) -> Any:
        return None


def test_a_registered_linear_version_gives_each_column_its_weight_times_how_far_apart_two_rows_are(logged: Any) -> None:
    rows = pa.Table.from_pandas(logged.frame, preserve_index=False)
    names = list(logged.frame.columns[1:])
    found = importance(logged.open("radius"), rows, rows.column_names)
    weights = LinearRegression().fit(logged.frame[names], logged.frame["mean radius"]).coef_
    columns = {name: logged.frame[name].to_numpy() for name in names}
    apart = {name: np.abs(np.subtract.outer(column, column)) for name, column in columns.items()}
    n = rows.num_rows
    expected = {name: abs(w) * apart[name].sum() / (n * (n - 1)) for name, w in zip(names, weights, strict=True)}
    first = max(expected, key=lambda name: expected[name])
    assert found.pop("mean radius") == 0.0
    assert found.keys() == expected.keys()
    for name in names:
        spread = apart[name].std() / apart[name].mean() + apart[first].std() / apart[first].mean()
        assert found[name] == pytest.approx(expected[name] / expected[first], rel=4 * spread / np.sqrt(n))


def test_a_registered_version_that_reads_one_column_gives_the_others_nothing(logged: Any) -> None:
    rows = pa.Table.from_pandas(logged.frame, preserve_index=False)
    found = importance(logged.open("strange"), rows, rows.column_names)
    assert found == {name: float(name == "mean radius") for name in rows.column_names}


def test_a_registered_classifier_gives_what_scikit_learn_measures_with_the_same_loss(logged: Any) -> None:
    rows = pa.Table.from_pandas(logged.frame, preserve_index=False)
    model = logged.open("tumours")
    found = importance(model, rows, rows.column_names)
    before = model.probabilities(rows)

    def score(estimator: Any, frame: pd.DataFrame, _: Any) -> float:
        return -float(np.abs(estimator.predict_proba(frame) - before).mean())

    theirs = permutation_importance(
        model.estimator, logged.frame, logged.labels, scoring=score, n_repeats=20, random_state=0
    ).importances_mean
    assert list(found.values()) == pytest.approx(theirs / theirs.max(), rel=0.15)


@pytest.mark.parametrize("name", ["flat", "digits"])
@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 64), pa.large_list(pa.float32())])
def test_a_vector_column_changes_places_whole(logged: Any, name: str, kind: pa.DataType) -> None:
    vectors = pa.array(list(logged.pixels[:300].reshape(-1, 64)), kind)
    rows = pa.table({"row_id": range(300), "pixels": vectors})
    assert importance(logged.open(name), rows, ["row_id", "pixels"]) == {"row_id": 0.0, "pixels": 1.0}


def test_a_registered_version_that_cannot_be_asked_has_no_ranking(logged: Any) -> None:
    assert importance(logged.open("tumours"), normals(), ["a", "b"]) == {}
    rows = pa.Table.from_pandas(logged.frame * 0, preserve_index=False)
    assert importance(logged.open("strange"), rows, rows.column_names) == {}


def test_probabilities_move_as_a_simulation_of_two_independent_rows_says() -> None:
    weights = {"a": 2.0, "b": -1.0, "c": 0.0}
    found = importance(weighted(LogisticRegression(), weights), normals(20_000), list("abc"), cap=20_000)
    rng = np.random.default_rng(1)
    a, b, other = rng.normal(size=(3, 400_000))
    was = 1 / (1 + np.exp(-(2 * a - b)))
    by_a = np.abs(1 / (1 + np.exp(-(2 * other - b))) - was).mean()
    by_b = np.abs(1 / (1 + np.exp(-(2 * a - other))) - was).mean()
    assert found == {"a": 1.0, "b": pytest.approx(by_b / by_a, rel=0.03), "c": 0.0}


def test_labels_change_as_often_as_two_correlated_normals_differ_in_sign() -> None:
    """With z = 2a + b and a alone exchanged, corr(z, z') = 1/5, and P(signs differ) = arccos(corr) / pi."""
    model = weighted(RidgeClassifier(), {"a": 2.0, "b": 1.0})
    assert model.probabilities(normals(10, "ab")) is None
    found = importance(model, normals(20_000, "ab"), ["a", "b"], cap=20_000)
    assert found == {"a": 1.0, "b": pytest.approx(np.arccos(4 / 5) / np.arccos(1 / 5), rel=0.04)}


def test_a_linear_regressor_of_normals_gives_the_ratio_of_weights_and_spreads() -> None:
    rows = normals()
    rows = rows.set_column(2, "c", pa.array(5.0 * rows["c"].to_numpy()))
    model = fitted(LinearRegression(), rows, rows.to_pandas().to_numpy() @ [4.0, -1.0, 0.4])
    found = importance(model, rows, ["c", "b", "a"])
    assert list(found) == ["c", "b", "a"]
    assert found == {"a": 1.0, "b": pytest.approx(0.25, rel=0.08), "c": pytest.approx(0.5, rel=0.08)}


def test_a_model_fitted_to_one_column_gives_rounding_no_importance() -> None:
    rows = normals()
    model = fitted(LinearRegression(), rows, 3.0 * rows["a"].to_numpy())
    assert importance(model, rows, list("abc")) == {"a": 1.0, "b": 0.0, "c": 0.0}


def test_two_equal_columns_that_share_the_weight_are_equally_important() -> None:
    rows = normals(names="ab")
    rows = rows.append_column("copy", rows["a"])
    model = fitted(LinearRegression(), rows, 3.0 * rows["a"].to_numpy() + rows["b"].to_numpy())
    found = importance(model, rows, rows.column_names)
    assert found["a"] == pytest.approx(found["copy"], rel=1e-9)
    assert found["b"] == pytest.approx(1 / 1.5, rel=0.08)


@pytest.mark.parametrize("target", [1e6 / 3, 0.0])
def test_a_model_that_always_answers_the_same_has_no_ranking(target: float) -> None:
    rows = normals()
    model = fitted(LinearRegression(), rows, np.full(rows.num_rows, target))
    assert importance(model, rows, list("abc")) == {}


def test_categories_booleans_and_nulls_change_places_and_keep_their_type() -> None:
    rng = np.random.default_rng(3)
    n = 3000
    colour = rng.choice(["red", "green", "blue"], n)
    size = rng.choice(["s", "m"], n)
    old = rng.random(n) < 0.5
    held = rng.normal(size=n)
    chunks = [pa.array(part).dictionary_encode() for part in (colour[:1000], colour[1000:][::-1][:0], colour[1000:])]
    rows = pa.table(
        {
            "colour": pa.chunked_array(chunks),
            "size": pa.array(size),
            "old": pa.array(old, mask=rng.random(n) < 0.1),
            "held": pa.array(held, mask=held > 1),
            "never": pa.nulls(n, pa.float64()),
        }
    )
    target = 4.0 * (colour == "red") + 2.0 * (size == "s") + 1.0 * old + 3.0 * (held > 1)
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour", "size", "old"]),
        remainder="passthrough",
    )
    trees = make_pipeline(encoded, HistGradientBoostingRegressor(max_iter=30, random_state=0))
    model = fitted(trees, rows.drop_columns("never"), target)
    found = importance(model, rows, rows.column_names)
    # Two independent rows differ by 4 * 2 * (1/3)(2/3) in colour, 2 / 2 in size, 3 * 2 * p(1 - p) where nulls stand for
    # a large value (p = 0.159), and by 1 * (1/2) in age, of which the nulls hide a part.
    assert found["colour"] == 1.0
    assert found["size"] == pytest.approx(1 / (16 / 9), rel=0.1)
    assert found["held"] == pytest.approx(0.802 / (16 / 9), rel=0.15)
    assert 0.1 < found["old"] < 0.3
    assert found["never"] == 0.0


def test_columns_that_the_model_fails_at_once_exchanged_are_left_out() -> None:
    rng = np.random.default_rng(5)
    start = np.arange(500.0)
    rows = pa.table({"start": start, "end": start + 1 + rng.random(500), "price": rng.random(500), "note": ["x"] * 500})
    model = Tabular("1", Intervals(), Inputs("1", ("start", "end", "price")))
    assert importance(model, rows, rows.column_names) == {"price": 1.0, "note": 0.0}


def test_rows_without_an_answer_count_for_nothing_and_a_column_without_any_is_left_out() -> None:
    rows = normals(names="ab")
    ids = pa.array(np.arange(rows.num_rows))
    rows = rows.append_column("x", ids).append_column("y", ids)
    found = importance(Tabular("1", Roots(), Inputs("1", tuple("abxy"))), rows, list("abxy"))
    # Two normals lie 2 / sqrt(pi) apart on average, two positive ones 2 / sqrt(pi) * (2 - sqrt(2)).
    assert found == {"a": 1.0, "b": pytest.approx(0.1 / (2 - np.sqrt(2)), rel=0.1)}


def test_the_same_seed_gives_the_same_numbers_another_other_ones_and_the_rows_stay_as_they_were() -> None:
    rows = normals(5000)
    model = fitted(LinearRegression(), rows, rows.to_pandas().to_numpy() @ [3.0, 2.0, 1.0])
    before = rows.to_pydict()
    first = importance(model, rows, list("abc"), seed=1)
    assert importance(model, rows, list("abc"), seed=1) == first
    assert importance(model, rows.combine_chunks(), list("cba"), seed=1) == first
    assert importance(model, rows, list("abc"), seed=2) != first
    assert rows.to_pydict() == before


@pytest.mark.parametrize(
    ("columns", "cap", "asked"),
    [(50, 2000, 2000), (100, 2000, 1000), (MOST_COLUMNS, 2000, FEWEST_ROWS), (1, 300, 300), (1, 9000, 3000)],
)
def test_no_more_answers_are_wanted_than_the_bound(columns: int, cap: int, asked: int) -> None:
    model = Counts()
    rows = pa.table({f"c{at}": np.arange(3000.0) for at in range(columns)})
    found = importance(model, rows, rows.column_names, cap=cap)
    assert model.asked == [asked] * (columns + 1)
    assert asked * columns <= MOST_ANSWERS
    assert found == {name: float(name == "c0") for name in rows.column_names}


@pytest.mark.parametrize(
    ("rows", "features", "cap"),
    [
        (normals(1), ["a"], 2000),
        (normals(0), ["a"], 2000),
        (normals(), ["a"], 1),
        (normals(), ["a"], 0),
        (normals(), ["nowhere"], 2000),
        (normals(), [], 2000),
        (pa.table({f"c{at}": [0.0, 1.0] for at in range(MOST_COLUMNS + 1)}), None, 2000),
    ],
)
def test_nothing_is_asked_where_nothing_could_be_told(rows: pa.Table, features: list[str] | None, cap: int) -> None:
    model = Counts()
    assert importance(model, rows, rows.column_names if features is None else features, cap=cap) == {}
    assert model.asked == []


def test_every_row_takes_the_value_of_another_row() -> None:
    """Of two rows, each has only the other: the change is known without chance, whatever the seed."""
    rows = pa.table({"a": [0.0, 1.0], "b": [0.0, 3.0]})
    model = Tabular("1", LinearRegression().fit(rows.to_pandas(), [0.0, 10.0]), Inputs("1", ("a", "b")))
    expected = {"a": pytest.approx(1 / 9, abs=1e-4), "b": 1.0}
    assert all(importance(model, rows, ["a", "b"], seed=seed) == expected for seed in range(20))
