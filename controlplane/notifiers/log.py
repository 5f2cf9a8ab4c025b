"""Alerts as lines of the process's own log."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import Literal

from controlplane.ports import Message

_ALERTS = logging.getLogger("controlplane.alerts")


class Log:
    """Writes each message as one line of JSON to the logger `controlplane.alerts`, for whoever collects the logs."""

    @dataclass(frozen=True)
    class Params:
        """The level every alert is logged at."""

        level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

        def __post_init__(self) -> None:
            if self.level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
                raise ValueError(f"unknown level {self.level!r}; valid: DEBUG, INFO, WARNING, ERROR, CRITICAL")

    def __init__(self, params: Params) -> None:
        self._level = logging.getLevelNamesMapping()[params.level]

    def send(self, message: Message) -> None:
        """Log the message; line breaks in its text are escaped, so one alert stays one line."""
        _ALERTS.log(self._level, "%s", json.dumps(asdict(message), ensure_ascii=False))
