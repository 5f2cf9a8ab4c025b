"""Versions of a real MLflow registry, opened: every kind answers alike, and says in one sentence what it cannot."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from controlplane.errors import CheckError
from controlplane.models import open_model

pytestmark = [
    # MLflow maps its tables with a loader that SQLAlchemy 2.1 deprecates, and warns of its own type hints at import.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]


@pytest.fixture(scope="module")
def tumours(logged: Any) -> pa.Table:
    """The feature columns in another order than the signature's, beside columns no model asks for."""
    table = pa.Table.from_pandas(logged.frame.iloc[:, ::-1], preserve_index=False)
    return table.append_column("row_id", pa.array(range(table.num_rows)))


@pytest.fixture(scope="module")
def images(logged: Any) -> pa.Table:
    vectors = pa.array(list(logged.pixels.reshape(-1, 64)), pa.list_(pa.float32()))
    return pa.table({"row_id": range(len(vectors)), "pixels": vectors})


def test_a_scikit_learn_version_answers_as_the_estimator_would(logged: Any, tumours: pa.Table) -> None:
    model = logged.open("tumours")
    predictions, probabilities = model.predict(tumours), model.probabilities(tumours)
    assert model.version == "1"
    assert model.classes == ("benign", "malignant")
    assert (predictions == logged.labels).mean() > 0.9
    assert probabilities.shape == (len(logged.labels), 2)
    assert np.array_equal(predictions, np.asarray(model.classes)[probabilities.argmax(axis=1)])


def test_a_version_without_a_signature_is_asked_by_the_names_it_was_fitted_with(logged: Any, tumours: pa.Table) -> None:
    signed, unsigned = logged.open("tumours"), logged.open("unsigned")
    assert np.array_equal(signed.predict(tumours), unsigned.predict(tumours))


def test_a_regressor_has_numbers_and_no_probabilities(logged: Any, tumours: pa.Table) -> None:
    model = logged.open("radius")
    assert model.probabilities(tumours) is None
    assert model.classes is None
    assert np.corrcoef(model.predict(tumours), logged.frame["mean radius"])[0, 1] > 0.99


def test_an_estimator_fitted_on_a_matrix_takes_the_vector_column(logged: Any, images: pa.Table) -> None:
    assert (logged.open("flat").predict(images) == logged.digits).mean() > 0.9


def test_a_torch_version_gives_class_indices_probabilities_and_its_module(logged: Any, images: pa.Table) -> None:
    import torch

    model = logged.open("digits")
    probabilities = model.probabilities(images)
    with torch.no_grad():
        wanted = torch.softmax(model.module()(torch.from_numpy(logged.pixels)).double(), dim=1).numpy()
    assert model.inputs(images).shape == (1797, 1, 8, 8)
    assert np.allclose(probabilities, wanted, atol=1e-6)
    assert np.array_equal(model.predict(images), wanted.argmax(axis=1))


def test_an_exported_torch_program_answers_like_the_pickled_one_and_may_be_asked_to_evaluate(
    logged: Any, images: pa.Table
) -> None:
    pickled, exported = logged.open("digits", "1"), logged.open("digits", "2")
    exported.module().train(False)
    assert np.allclose(pickled.probabilities(images), exported.probabilities(images), atol=1e-6)


def test_classes_in_the_metadata_name_what_a_torch_version_predicts(logged: Any, images: pa.Table) -> None:
    named, plain = logged.open("words"), logged.open("digits")
    assert np.array_equal(named.predict(images), np.asarray(list("abcdefghij"))[plain.predict(images)])


def test_metadata_that_names_too_few_classes_is_one_sentence(logged: Any, images: pa.Table) -> None:
    with pytest.raises(CheckError, match=r"answers 10 numbers a row, its metadata names 2 classes"):
        logged.open("short").predict(images)


def test_a_torch_version_may_take_named_columns(logged: Any, tumours: pa.Table) -> None:
    assert logged.open("dense").probabilities(tumours).shape == (len(logged.labels), 2)


def test_any_other_flavour_predicts_and_has_no_gradient(logged: Any, tumours: pa.Table) -> None:
    model = logged.open("strange")
    assert (model.predict(tumours) == logged.labels).mean() > 0.8
    assert model.classes == ("benign", "malignant")
    assert model.probabilities(tumours) is None
    with pytest.raises(CheckError, match="version 1 is no torch model, so it has no gradient"):
        model.module()
    with pytest.raises(CheckError, match="version 1 is no torch model, so it has no gradient"):
        model.inputs(tumours)


def test_a_model_that_raises_is_one_sentence_without_its_secrets(logged: Any, tumours: pa.Table) -> None:
    negative = pa.array(np.full(tumours.num_rows, -1.0))
    rows = tumours.set_column(tumours.column_names.index("mean radius"), "mean radius", negative)
    with pytest.raises(CheckError) as caught:
        logged.open("strange").predict(rows)
    assert str(caught.value) == ("version 1 failed at predicting: RuntimeError: negative radius at https://***@host/x")


def test_a_model_that_answers_too_few_rows_is_one_sentence(logged: Any, tumours: pa.Table) -> None:
    zero = pa.array(np.zeros(tumours.num_rows))
    rows = tumours.set_column(tumours.column_names.index("mean radius"), "mean radius", zero)
    with pytest.raises(CheckError, match=r"version 1 answered an array of shape \(1,\) for 569 rows; needs \(569,\)"):
        logged.open("strange").predict(rows)


@pytest.mark.parametrize("name", ["tumours", "strange", "dense"])
def test_a_missing_column_is_named_with_those_there_are(logged: Any, tumours: pa.Table, name: str) -> None:
    rows = tumours.drop_columns(["mean area"])
    with pytest.raises(CheckError, match="version 1 needs the column mean area; the rows hold mean compactness"):
        logged.open(name).predict(rows)


def test_text_where_a_torch_version_takes_numbers_is_one_sentence(logged: Any, tumours: pa.Table) -> None:
    text = pa.array(["large"] * tumours.num_rows)
    rows = tumours.set_column(tumours.column_names.index("mean area"), "mean area", text)
    with pytest.raises(CheckError, match="version 1 takes numbers; mean area holds something else"):
        logged.open("dense").predict(rows)


@pytest.mark.parametrize(
    ("vectors", "sentence"),
    [
        (None, r"takes one vector column \(a list of numbers a row\); the rows hold none"),
        ([[0.5] * 32] * 3, r"holds vectors of 32 to 32 numbers; version 1 takes 64 \(1x8x8\)"),
        ([[0.5] * 64, [0.5] * 63], r"holds vectors of 63 to 64 numbers; version 1 takes 64 \(1x8x8\)"),
        ([[0.5] * 64, None], r"column 'pixels' holds 1 nulls; version 1 needs a vector"),
        ([[0.5] * 63 + [None]], r"the vectors of column 'pixels' hold 1 nulls; numbers are needed"),
        ([[float("inf")] * 64], r"version 1 answered numbers that are not finite for 1 rows"),
    ],
)
def test_rows_that_make_no_tensor_are_one_sentence(logged: Any, vectors: Any, sentence: str) -> None:
    columns = {"row_id": pa.array([1, 2, 3])} if vectors is None else {"pixels": pa.array(vectors)}
    with pytest.raises(CheckError, match=sentence):
        logged.open("digits").predict(pa.table(columns))


def test_two_vector_columns_are_named(logged: Any, images: pa.Table) -> None:
    with pytest.raises(CheckError, match="the rows hold several: pixels, more"):
        logged.open("digits").predict(images.append_column("more", images["pixels"]))


def test_a_version_is_loaded_once_a_process(logged: Any) -> None:
    assert logged.open("tumours") is logged.open("tumours")
    assert logged.open("digits", "1") is not logged.open("digits", "2")


def test_opening_writes_nothing_beside_the_artefacts(logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    open_model(logged.address("strange"), "loaded anew", logged.tracking_uri)
    artifacts = Path(logged.tracking_uri.removeprefix("sqlite:///")).parent / "artifacts"
    assert list(artifacts.rglob("strange.py")) != []
    assert list(artifacts.rglob("__pycache__")) == []


def test_a_version_whose_files_are_gone_is_one_sentence(logged: Any) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(logged.tracking_uri)
    client.create_registered_model("gone")
    client.create_model_version("gone", source=f"file://{logged.tracking_uri[10:]}.nowhere", await_creation_for=None)
    with pytest.raises(CheckError, match=r"version 1 failed at loading its artefacts: .*nowhere"):
        logged.open("gone")


def test_opening_leaves_the_process_wide_tracking_uri_alone(logged: Any) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    open_model(logged.address("radius"), "1", logged.tracking_uri)
    assert mlflow.get_tracking_uri() == before != logged.tracking_uri
