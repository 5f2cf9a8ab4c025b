from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from controlplane import ports
from controlplane.config import json_schema
from controlplane.errors import ConfigError


@pytest.fixture
def schema() -> dict[str, Any]:
    found = json_schema()
    Draft202012Validator.check_schema(found)
    return found


def errors_of(schema: dict[str, Any], data: Any) -> int:
    return len(list(Draft202012Validator(schema).iter_errors(data)))


@pytest.fixture
def data(job: str) -> Any:
    return yaml.safe_load(job)


def test_a_good_job_is_valid(schema: dict[str, Any], data: Any) -> None:
    assert errors_of(schema, data) == 0
    data["schedule"] = {"every": "1h"}
    data["labels"] = {"kind": "sql", "url": "${LABELS}", "table": "labels"}
    data["checks"].append({"check": "performance", "limits": {"accuracy": {"min": 0.8}}, "memory": "unlimited"})
    assert errors_of(schema, data) == 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("ownr",), "me"),
        (("schema",), 2),
        (("reaction",), "panic"),
        (("risk_tier",), "huge"),
        (("owner",), None),
        (("rollback_targets",), [1]),
        (("source", "pth"), "x"),
        (("source", "kind"), "fils"),
        (("source", "path"), 7),
        (("schedule", "window"), "1 hour"),
        (("checks",), []),
        (("checks", 0, "check"), "drfit"),
        (("checks", 0, "params"), {"bin": 1}),
        (("checks", 0, "params"), {"bins": "ten"}),
        (("checks", 0, "limits"), {"accuracy": {"min": 1}}),
        (("checks", 0, "limits"), {}),
        (("checks", 0, "memory"), "4GB"),
        (("checks", 0, "min_rows"), 0),
    ],
)
def test_a_bad_job_is_not(schema: dict[str, Any], data: Any, path: tuple[Any, ...], value: Any) -> None:
    part = data
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    assert errors_of(schema, data) > 0


def keys(schema: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for key, part in schema.get("properties", {}).items():
            yield f"{name}.{key}", part
        for key, part in schema.items():
            if key not in ("properties", "if"):
                yield from keys(part, f"{name}.{key}")
    elif isinstance(schema, list):
        for part in schema:
            yield from keys(part, name)


def test_every_key_says_what_it_is(schema: dict[str, Any]) -> None:
    silent = [name for name, part in keys(schema) if "description" not in part and ".then." not in name]
    assert silent == []


def test_defaults_are_shown_as_job_files_write_them(schema: dict[str, Any]) -> None:
    check = schema["$defs"]["CheckForm"]["properties"]
    assert (check["timeout"]["default"], check["memory"]["default"]) == ("5m", "4GiB")
    assert schema["$defs"]["ScheduleForm"]["properties"]["delay"]["default"] == "0s"


def test_each_measure_says_what_it_means(schema: dict[str, Any]) -> None:
    branches = schema["$defs"]["CheckForm"]["allOf"]
    limits = {
        branch["if"]["properties"]["check"]["const"]: branch["then"]["properties"]["limits"] for branch in branches
    }
    assert limits["performance"]["properties"]["accuracy"]["description"] == "the share of right answers (share)"


def test_a_plugin_that_cannot_be_loaded_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ports.CHECKS, "gone", "no_such_module:Gone")
    with pytest.raises(ConfigError, match=r"^check 'gone' cannot be loaded \(No module named 'no_such_module'\)"):
        json_schema()
