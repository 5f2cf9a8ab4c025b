"""What a server sets before it loads anything."""

import os

import pytest

from controlplane.serving.start import _share_cores


def test_workers_share_the_cores_and_what_the_user_says_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    for said, workers, meant in ((None, 3, "2"), (None, 16, "1"), ("5", 3, "5")):
        with monkeypatch.context() as patch:
            for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
                patch.setenv(name, "")
                patch.delenv(name)
            if said is not None:
                patch.setenv("OMP_NUM_THREADS", said)
            _share_cores(workers)
            assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == (meant, "passive")
