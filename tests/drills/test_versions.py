"""The versions that drills make: wrong on a known share of rows, attackable, and numbered as people know them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from world import World

from controlplane.domain.monitor import ModelRef
from controlplane.drills.faulty import Wrong, WrongEstimator
from controlplane.drills.versions import add_version, make_registry, release
from controlplane.registry import Registry

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(4000, 2)), columns=["a", "b"])


def test_the_same_rows_are_wrong_however_they_are_asked() -> None:
    wrong = Wrong(0.4)
    picked = wrong.rows(FRAME)
    assert picked.mean() == pytest.approx(0.4, abs=0.03)
    assert np.array_equal(wrong.rows(FRAME.iloc[::-1])[::-1], picked)
    arrays = FRAME.to_numpy(np.float32)
    assert np.array_equal(wrong.rows(arrays[:100]), wrong.rows(arrays)[:100])


def test_a_broken_classifier_answers_the_next_class_and_its_probabilities_agree() -> None:
    labels = np.where(FRAME["a"] > 0, "yes", "no")
    good = LogisticRegression().fit(FRAME, labels)
    bad = pickle.loads(pickle.dumps(WrongEstimator(good, Wrong(0.3))))
    changed = bad.predict(FRAME) != good.predict(FRAME)
    assert np.array_equal(changed, Wrong(0.3).rows(FRAME))
    assert np.array_equal(bad.classes_[bad.predict_proba(FRAME).argmax(axis=1)], bad.predict(FRAME))
    assert bad.predict(FRAME).dtype.kind == "U"


def test_a_broken_regressor_is_off_by_a_known_number_and_gives_no_probabilities() -> None:
    good = LinearRegression().fit(FRAME, FRAME["a"] * 2.0)
    bad = WrongEstimator(good, Wrong(0.25, by=9.0))
    assert set(np.round(bad.predict(FRAME) - good.predict(FRAME), 6)) == {0.0, 9.0}
    assert not hasattr(bad, "predict_proba") and not hasattr(bad, "classes_")


def test_a_broken_network_is_wrong_on_the_same_rows_and_can_still_be_attacked() -> None:
    torch = pytest.importorskip("torch")
    from controlplane.drills.faulty import _wrong_net

    torch.manual_seed(0)
    net = torch.nn.Linear(2, 3)
    x = torch.from_numpy(FRAME.to_numpy(np.float32)).requires_grad_(True)
    bad = _wrong_net(net, Wrong(0.4))
    changed = (bad(x).argmax(dim=1) != net(x).argmax(dim=1)).numpy()
    assert np.array_equal(changed, Wrong(0.4).rows(x.detach().numpy()))
    (slope,) = torch.autograd.grad(bad(x).sum(), x)
    assert slope.shape == x.shape


def test_a_copy_bears_its_own_number_and_what_comes_after_it_counts_on(tmp_path: Path) -> None:
    uri = make_registry(tmp_path / "mlflow.db", "scorer")
    assert add_version(uri, "scorer", tmp_path / "a", "37") == "37"
    assert add_version(uri, "scorer", tmp_path / "b", "41") == "41"
    registry, model = Registry(uri), ModelRef("scorer", "champion")
    release(uri, model, "37")
    assert (registry.versions("scorer"), registry.holder(model)) == (["37", "41"], "37")


def test_a_copy_is_byte_for_byte_what_the_registry_holds(world: World, tmp_path: Path) -> None:
    from controlplane.models.fingerprint import digest_of

    registry = Registry(world.settings.tracking_uri)
    place = registry.fetch_version("scorer", "1", tmp_path / "copy")
    source = Path(world.client().get_model_version_download_uri("scorer", "1").removeprefix("file://"))
    assert digest_of(place) == digest_of(source)
