"""Registering with MLflow: what is saved loads again, and nothing lands outside the folder."""

from pathlib import Path

import numpy as np
import pytest

from controlplane.demo import digits, insurance, release

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*Any type hint:UserWarning")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    import mlflow

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(elsewhere)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    uri = release.open_registry(tmp_path)
    yield uri
    assert list(elsewhere.iterdir()) == []
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


def test_registered_versions_answer_as_the_models_they_were_made_from(registry: str) -> None:
    import mlflow.pytorch
    import mlflow.sklearn

    rows = insurance.people().slice(0, 2_000)
    trees = insurance.fit(rows)
    assert [release.register_insurance(trees), release.register_insurance(trees)] == ["1", "2"]
    release.promote(registry, insurance.NAME, "2")
    assert release.holder(registry, insurance.NAME) == "2"
    loaded = mlflow.sklearn.load_model(f"models:/{insurance.NAME}@{release.ALIAS}")
    assert insurance.answer(loaded, rows).equals(insurance.answer(trees, rows))

    images = digits.images().slice(0, 100)
    net = digits.fit(images, epochs=1)
    assert release.register_digits(net) == "1"
    loaded = mlflow.pytorch.load_model(f"models:/{digits.NAME}/1")
    assert np.array_equal(digits.answer(loaded, images)["prediction"], digits.answer(net, images)["prediction"])
