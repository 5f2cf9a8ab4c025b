"""What the image and the compose file promise. No container engine is needed to see it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from controlplane.cli.main import app

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text().replace("\\\n", " ")
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "controlplane")


def instruction(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def commands() -> Iterator[list[str]]:
    """Every argument list after `controlplane` that the image or a service starts or asks for its health."""
    yield from map(json.loads, instruction("CMD"))
    yield from (json.loads(line.partition(" CMD ")[2])[1:] for line in instruction("HEALTHCHECK"))
    yield from (
        service["command"] for name, service in SERVICES.items() if name in OURS and "entrypoint" not in service
    )


@pytest.mark.parametrize("arguments", list(commands()), ids=" ".join)
def test_every_command_started_in_a_container_is_one_of_ours(arguments: list[str]) -> None:
    command, name, rest = typer.main.get_command(app), "controlplane", arguments
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(command.context_class(command), rest)
    command.make_context(name, list(rest))


def test_ports_are_reachable_from_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_stands_in_a_file() -> None:
    for path in (ROOT / "docker").iterdir():
        if path.name not in (".env", "jobs.env"):
            assert not re.search(r"(?m)^\s*\w*(PASSWORD|SECRET|TOKEN)\w*[=:][ \t]*(?!\$\{)\S", path.read_text())
            assert not re.search(r"://[^/\s:]+:(?!\$\{)[^@\s]+@", path.read_text())


def test_every_variable_of_the_compose_file_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker/compose.yaml").read_text()))
    explained = set(re.findall(r"^(\w+)=", (ROOT / "docker/env.example").read_text(), re.MULTILINE))
    assert used == explained


def test_the_image_does_not_run_as_root() -> None:
    assert instruction("USER")[-1] not in ("root", "0")


def test_the_image_installs_the_tested_versions() -> None:
    assert [run for run in instruction("RUN") if "pip install" in run and "-c constraints.txt" not in run] == []


@pytest.mark.parametrize("name", OURS)
def test_our_containers_cannot_write_to_their_system_or_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_says_whether_it_is_healthy(name: str) -> None:
    assert "healthcheck" in SERVICES[name] or (name in OURS and instruction("HEALTHCHECK"))


def test_what_the_image_copies_is_let_into_the_build() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for line in instruction("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert copied == kept
    assert all((ROOT / source).exists() for source in copied)
