"""The README names what there is, and nothing that is not."""

import re
from pathlib import Path

import pytest
import typer.main

from controlplane.cli.main import app
from controlplane.config import Settings, load_jobs
from controlplane.config.settings import IN_FILES
from controlplane.ports import CHECKS, NOTIFIERS, SOURCES, load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = typer.main.get_command(app).commands


def rows(first: str) -> dict[str, list[str]]:
    """The table whose header starts with `first`: its rows' further cells by their first one."""
    table = re.search(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", README, re.MULTILINE)
    assert table, f"no table of {first}"
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table[1].splitlines()]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_stands_with_what_it_needs_and_measures(name: str) -> None:
    check = load("checks", name)
    needs = ", ".join(sorted(need.value for need in check.needs))
    measures = ", ".join(f"`{measure}`" for measure in check.measures)
    if len(check.measures) > 20:
        such = f"such as `{next(iter(check.measures))}`; `controlplane schema` lists them"
        measures = f"{len(check.measures)} measures, {such}"
    assert rows("check")[name] == [needs, measures]


@pytest.mark.parametrize(("first", "table"), [("check", CHECKS), ("source", SOURCES), ("notifier", NOTIFIERS)])
def test_every_kind_is_listed_and_every_listed_one_exists(first: str, table: dict[str, str]) -> None:
    assert set(rows(first)) == set(table)


def test_every_command_is_listed_and_every_listed_one_exists() -> None:
    assert {name.removeprefix("controlplane ") for name in rows("command")} == set(COMMANDS)


def test_every_command_line_in_the_text_starts_with_a_real_command() -> None:
    named = set(re.findall(r"(?<!import )controlplane ([a-z]+)", README)) - set(COMMANDS)
    assert named == set()


def test_every_setting_is_listed_and_every_listed_one_exists() -> None:
    assert set(rows("variable")) == {f"CONTROLPLANE_{name.upper()}" for name in Settings.model_fields}


def test_the_settings_that_may_stand_in_a_file_are_named_and_no_others() -> None:
    assert set(re.findall(r"CONTROLPLANE_(\w+)_FILE\b", README)) == {name.upper() for name in IN_FILES}


def test_the_job_in_the_text_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example
    (tmp_path / "churn.yaml").write_text(example[1])
    for name in re.findall(r"\$\{(\w+)\}", example[1]):
        monkeypatch.setenv(name, "sqlite:///outcomes.db")
    assert [monitor.name for monitor in load_jobs(tmp_path).monitors] == ["churn"]


def test_links_lead_to_files_that_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
