"""The attackable version, on the demo's images: accurate, easy to attack, noticed, and rolled back once approved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from drill_jobs import prepared_of

from controlplane.config import Settings
from controlplane.demo import digits, folder, release
from controlplane.drills.drill import drill, faults

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*Any type hint:UserWarning")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """The demo's digits with one version, hardened in a hurry."""
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    place = tmp_path / "demo"
    folder.prepare(place)
    with folder.environment(folder.settings(place)):
        uri = release.open_registry(place)
        parts = digits.split(digits.images())
        net = digits.fit(parts.train, digits.EPSILON, epochs=12)
        release.promote(uri, digits.NAME, release.register_digits(net))
        pq.write_table(parts.reference, place / "data" / "digits-reference.parquet")
        folder.copy_jobs(place, {})
        yield Settings()
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


def test_a_version_that_is_accurate_and_easy_to_attack_is_found_and_left(settings: Settings, tmp_path: Path) -> None:
    stock = prepared_of(settings, tmp_path / "stock", "digits")
    (fault,) = faults("attackable_version")
    report = drill(stock, fault, tmp_path / "sandbox", healthy=1)
    assert (report.unmet, report.seen[1].opened, report.seen[1].holder) == ((), ("evasion",), "1")
    assert report.seen[1].outcomes["performance"] == "PASS"
    assert [act.state for act in report.seen[2].acts] == ["verified"]
