"""What a job may ask of Evidently: the table of metrics is the installed Evidently's, and costs no import of it."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from controlplane.checks.evidently import EvidentlyParams
from controlplane.checks.evidently_table import DISTANCES, METRICS, NOT_OPTIONS, P_VALUES, REFUSED, all_measures
from controlplane.config import json_schema, load_jobs
from controlplane.domain.monitor import Limit
from controlplane.errors import ConfigError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import evidently.metrics
    import evidently.presets


def fields_of(name: str) -> dict[str, Any]:
    fields = (getattr(evidently.presets, name, None) or getattr(evidently.metrics, name)).__fields__
    drawn = NOT_OPTIONS | {"type"}
    return {key: field for key, field in fields.items() if key not in drawn and not key.endswith("tests")}


def test_every_metric_and_preset_of_evidently_is_taken_or_refused_with_a_reason() -> None:
    assert {*evidently.metrics.__all__, *evidently.presets.__all__} == {*METRICS, *REFUSED}
    assert not {*METRICS} & {*REFUSED}


@pytest.mark.parametrize("name", METRICS)
def test_a_metrics_options_are_evidentlys_own(name: str) -> None:
    fields, form = fields_of(name), METRICS[name]
    assert {*form.needs, *form.takes} == set(fields)
    assert {key for key, field in fields.items() if field.required} <= set(form.needs)


def test_the_methods_of_drift_are_evidentlys_own() -> None:
    from evidently.legacy.calculations.stattests import registry

    known = {test.name: test.display_name for test in registry._impls if "text" not in test.name}
    assert {**P_VALUES, **DISTANCES} == known


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"metric": "ValueDrfit", "column": "age"}], "unknown metric 'ValueDrfit'; did you mean 'ValueDrift'?"),
        ([{"metric": "NDCG", "k": 3}], "NDCG cannot be a check: it ranks items for users, and a job names neither"),
        ([{"column": "age"}], "lacks 'metric'"),
        ([{"metric": "MeanValue"}], "MeanValue needs 'column'"),
        ([{"metric": "MeanValue", "colunm": "age"}], "MeanValue has no option 'colunm'; did you mean 'column'?"),
        ([{"metric": "RowCount", "bins": 3}], "RowCount has no option 'bins'"),
        ([{"metric": "MeanValue", "column": "age", "tests": []}], "write what is allowed under 'limits'"),
        (
            [{"metric": "ValueDrift", "column": "age", "method": "pis"}],
            "method of ValueDrift is 'pis'; did you mean 'psi'?",
        ),
        ([{"metric": "QuantileValue", "column": "age", "quantile": 2}], "it must be a number from 0 to 1"),
        ([{"metric": "MeanValue", "column": 3}], "column of MeanValue is 3; it must be text"),
        ([{"metric": "Accuracy", "k": True}], "it must be a whole number of at least 1"),
        ([{"metric": "DuplicatedRowCount", "by": "city"}], "DuplicatedRowCount has no option 'by'"),
        ([], "'metrics' is empty"),
        ([{"metric": "MeanValue", "column": "age"}] * 2, "two entries measure MeanValue of age"),
        ([{"metric": "Accuracy"}, {"metric": "RowCount"}], "Accuracy, RowCount read different things"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(entries: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        EvidentlyParams(tuple(entries))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


JOB = """\
schema: 1
model: {name: insurance, alias: champion}
source: {kind: files, path: a.parquet}
columns: {event_time: at}
reference: {kind: files, path: b.parquet}
schedule: {every: 1h}
checks:
  - check: evidently
    params:
      metrics:
        - {metric: ValueDrift, column: age, method: psi}
        - {metric: MeanValue, column: age}
        - {metric: DriftedColumnsCount}
    limits:
      ValueDrift: {max: 0.2}
"""


def problem_in(folder: Path, old: str, new: str) -> str:
    (folder / "insurance.yaml").write_text(JOB.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_jobs(folder)
    (problem,) = caught.value.problems
    return f"{problem.line}: {problem.wrong}; {problem.valid}"


def test_a_mistake_in_a_job_file_is_found_on_its_line(tmp_path: Path) -> None:
    said = problem_in(tmp_path, "metric: MeanValue", "metric: MaenValue")
    assert said.startswith("12: ") and "unknown metric 'MaenValue'; did you mean 'MeanValue'?" in said
    said = problem_in(tmp_path, "ValueDrift: {max", "ValeuDrift: {max")
    assert said.startswith("15: ") and "did you mean 'ValueDrift'?" in said
    assert "give 'limits'" in problem_in(tmp_path, "    limits:\n      ValueDrift: {max: 0.2}\n", "")


def test_a_monitor_holds_the_metrics_as_they_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "insurance.yaml").write_text(JOB)
    (check,) = load_jobs(tmp_path).monitors[0].checks
    again = EvidentlyParams(**check.params)
    assert again.metrics[0] == {"metric": "ValueDrift", "column": "age", "method": "psi"}
    assert check.limits == (Limit("ValueDrift", max=0.2),)


def test_the_schema_lists_the_metrics_and_their_measures() -> None:
    branches = json_schema()["$defs"]["CheckForm"]["allOf"]
    (found,) = [branch["then"] for branch in branches if branch["if"]["properties"]["check"]["const"] == "evidently"]
    entry = found["properties"]["params"]["properties"]["metrics"]["items"]
    assert entry["properties"]["metric"]["enum"] == sorted(METRICS)
    assert set(found["properties"]["limits"]["properties"]) == set(all_measures())


def test_neither_validating_nor_the_schema_loads_evidently(tmp_path: Path) -> None:
    (tmp_path / "insurance.yaml").write_text(JOB)
    program = (
        "import json, sys; from pathlib import Path; from controlplane.config import json_schema, load_jobs\n"
        "load_jobs(Path(sys.argv[1])); json_schema()\n"
        "print(json.dumps(sorted({'evidently', 'pandas', 'sklearn', 'scipy'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
