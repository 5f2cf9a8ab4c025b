"""What an installed copy holds: everything the command line needs, and nothing that gets into a neighbour's way."""

import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ["controlplane", "dashboards", "jobs", "pyproject.toml", "README.md", "LICENSE"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built the way a release is: a source distribution first, and the wheel from that alone."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, tree / part)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_has_no_top_level_package_but_controlplane(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0].partition("-")[0] for name in wheel.namelist()} == {"controlplane"}


def test_the_wheel_carries_every_module_page_migration_and_data_file_of_the_tree(wheel: zipfile.ZipFile) -> None:
    wanted = set()
    for folder, place in [("controlplane", ""), ("dashboards", "controlplane/"), ("jobs", "controlplane/")]:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                wanted.add(place + path.relative_to(ROOT).as_posix())
    assert sorted(wanted - set(wheel.namelist())) == []


def test_the_wheel_carries_its_licence(wheel: zipfile.ZipFile) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


@pytest.mark.parametrize(
    ("package", "pattern"), [("controlplane.dashboards", "app.py"), ("controlplane.jobs", "*.yaml")]
)
def test_folders_beside_the_package_are_found_as_its_resources(package: str, pattern: str) -> None:
    assert any(fnmatch(item.name, pattern) for item in files(package).iterdir())
