"""What the image and the compose file promise. No container engine is needed to see it."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from sqlalchemy import make_url

from controlplane.cli.main import app

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
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


def test_no_secret_stands_in_a_file_that_is_kept() -> None:
    for path in (DOCKER / name for name in ("Dockerfile", "compose.yaml", "env.example", "secrets.sh")):
        text = path.read_text()
        assert not re.search(r"(?m)^\s*\w*(PASSWORD|SECRET|TOKEN|KEY)(?!\w*_FILE)\w*[=:][ \t]*(?!\$\{)\S", text)
        assert not re.search(r"://[^/\s:]+:(?!\$\{|%s)[^@\s]+@", text)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"docker/.env", "docker/jobs.env", "docker/secrets/"} <= set(ignored)


def test_a_service_reads_its_secrets_from_files_and_is_given_no_others() -> None:
    for name, service in SERVICES.items():
        assert not [key for key in service.get("environment", {}) if re.search("URL$|SECRET$|KEY$|PASSWORD$", key)]
        read = set(re.findall(r"/run/secrets/(\w+)", json.dumps(service)))
        assert read == set(service.get("secrets", [])), name
    files = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    assert files == {name: f"secrets/{name}" for name in files}


def test_secrets_are_made_once_and_fit_one_another(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = []
    for _ in range(2):
        subprocess.run(["sh", DOCKER / "secrets.sh", folder], check=True)
        made.append({path.name: path.read_text() for path in folder.iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == set(COMPOSE["secrets"])
    # Mounted into containers whose users are none of this machine, out of a folder that nobody else enters.
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    url, postgres = make_url(made[0]["database_url"]), SERVICES["postgres"]["environment"]
    assert (url.password, url.host) == (made[0]["postgres_password"], "postgres")
    assert (url.username, url.database) == (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"])
    assert len(set(made[0].values())) == len(made[0])


def test_every_variable_of_the_compose_file_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", json.dumps(COMPOSE)))
    explained = set(re.findall(r"^(\w+)=", (DOCKER / "env.example").read_text(), re.MULTILINE))
    assert used == explained


def test_the_image_does_not_run_as_root() -> None:
    assert instruction("USER")[-1] not in ("root", "0")


def test_the_image_installs_the_tested_versions() -> None:
    assert [run for run in instruction("RUN") if "pip install" in run and "-c constraints.txt" not in run] == []


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_container_is_root_writes_to_its_system_or_gains_rights(name: str) -> None:
    service = SERVICES[name]
    assert (service.get("user") or instruction("USER")[-1]) not in ("root", "0")
    assert name in OURS or "user" in service
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]
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


def test_the_steps_of_the_build_install_the_command(tmp_path: Path) -> None:
    """The image's own lines in a folder that holds what they copy; what is installed here stands in for downloads."""
    tree, installed = tmp_path / "src", tmp_path / "installed"
    for line in (line for line in instruction("COPY") if "--from" not in line):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tree / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                tree.mkdir(exist_ok=True)
                shutil.copy(ROOT / source, tree / target)
    venv, install = (run for run in instruction("RUN") if "/opt/controlplane" in run)
    here = [path for path in sys.path if path and path != str(ROOT)]
    environment = {"PYTHONPATH": os.pathsep.join(here), "EXTRAS": re.findall(r"EXTRAS=(\S+)", DOCKERFILE)[0]}
    environment |= {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_CACHE_DIR": "1"}
    shim = "printf '#!/bin/sh\\nexec /opt/controlplane/bin/python -m pip \"$@\"' >/opt/controlplane/bin/pip"
    venv = venv.replace("python -m venv", f"{sys.executable} -m venv --without-pip")
    started = "/opt/controlplane/bin/controlplane db --help"
    for step in (venv, f"{shim}; chmod +x /opt/controlplane/bin/pip", install, started):
        command = ["sh", "-euc", step.replace("/opt/controlplane", str(installed))]
        done = subprocess.run(
            command, cwd=tree, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "upgrade" in done.stdout
