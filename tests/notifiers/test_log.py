"""Alerts in the process's own log."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Any

import pytest

from controlplane.notifiers.log import Log
from controlplane.ports import Message

MESSAGE = Message("k1", "opened", "m", "drift", "warning", "ks of age 0.4\nis above", "2026-01-02", "i", "a@b", "o", "")


def test_an_alert_is_one_line_of_json_with_every_field(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "controlplane.alerts"):
        Log(Log.Params()).send(MESSAGE)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("controlplane.alerts", "INFO")
    assert "\n" not in record.getMessage()
    assert json.loads(record.getMessage()) == asdict(MESSAGE)


def test_the_level_is_the_one_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "controlplane.alerts"):
        Log(Log.Params("ERROR")).send(MESSAGE)
    assert caplog.records[0].levelno == logging.ERROR


def test_an_unknown_level_is_refused_with_the_valid_ones() -> None:
    wrong: Any = "LOUD"
    with pytest.raises(ValueError, match="unknown level 'LOUD'; valid: DEBUG, INFO, WARNING, ERROR, CRITICAL"):
        Log.Params(wrong)
