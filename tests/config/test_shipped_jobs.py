from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from controlplane.config import json_schema, load_jobs, make_params
from controlplane.config.kinds import option_names, params_of
from controlplane.config.lines import Document
from controlplane.ports import names

JOBS = Path(__file__).parents[2] / "jobs"

pytestmark = pytest.mark.usefixtures("built_in_checks")


def test_every_shipped_job_is_sound() -> None:
    assert {monitor.name for monitor in load_jobs(JOBS).monitors} == {"digits", "insurance"}


@pytest.mark.parametrize("name", ["digits", "insurance"])
def test_the_schema_accepts_every_shipped_job(name: str) -> None:
    data = Document.parse((JOBS / f"{name}.yaml").read_text()).data
    assert [error.message for error in Draft202012Validator(json_schema()).iter_errors(data)] == []


@pytest.mark.parametrize("kind", names("checks"))
def test_every_built_in_check_takes_its_own_defaults(kind: str) -> None:
    params = make_params("checks", kind, {})
    assert params == params_of("checks", kind)()
    assert option_names(type(params))
