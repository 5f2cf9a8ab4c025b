"""What is installed, and in which versions."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(line.partition("==")[0]): line.partition("==")[2]
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
}


def requirements(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for with these extras, an extra that names others taken apart."""
    listed = list(PROJECT["dependencies"])
    for extra in extras:
        listed += PROJECT["optional-dependencies"][extra]
    found = [Requirement(line) for line in listed]
    own = [requirement for requirement in found if requirement.name == "controlplane"]
    nested = {extra for requirement in own for extra in requirement.extras}
    found += requirements(*nested) if nested else []
    return [requirement for requirement in found if requirement.name != "controlplane"]


def closure(wanted: list[Requirement]) -> Iterator[str]:
    """The names that an installation of `wanted` brings, without what its asker itself holds to one version."""
    seen, todo = set(), list(wanted)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        yield name
        for line in distribution(name).requires or []:
            below = Requirement(line)
            asked = any(not below.marker or below.marker.evaluate({"extra": e}) for e in {"", *requirement.extras})
            if asked and not any(part.operator == "==" for part in below.specifier):
                todo.append(below)


def test_every_direct_and_transitive_dependency_has_a_tested_version() -> None:
    assert sorted(set(closure(requirements("dev"))) - set(PINS)) == []


def test_the_versions_installed_here_are_the_tested_ones() -> None:
    installed = {name: Version(version(name)).public for name in set(closure(requirements("dev")))}
    assert {name: found for name, found in installed.items() if found != PINS[name]} == {}


def test_the_tested_versions_satisfy_the_stated_ranges() -> None:
    outside = [str(r) for r in requirements("dev") if not r.specifier.contains(PINS[canonicalize_name(r.name)])]
    assert outside == []


def test_a_constraint_is_a_name_and_a_public_version() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
    assert lines == sorted(lines, key=str.lower)


def test_the_core_has_no_deep_learning_framework_and_no_dashboard() -> None:
    assert {"torch", "transformers", "adversarial-robustness-toolbox", "streamlit"}.isdisjoint(closure(requirements()))


def test_the_extra_all_is_everything_a_user_can_add() -> None:
    extras = set(PROJECT["optional-dependencies"]) - {"all", "dev"}
    assert set(closure(requirements("all"))) == set(closure(requirements(*extras)))
