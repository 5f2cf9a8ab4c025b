"""What a version's digest covers: all that its model is made of, and nothing that loading it leaves behind."""

from __future__ import annotations

import py_compile
from collections.abc import Callable
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from controlplane.models.fingerprint import digest_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Artefacts with a source of their own."""
    (tmp_path / "code").mkdir()
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "code" / "scorer.py").write_text(
        "def score(row):\n    return sorted({row['a'] > 0}, key=lambda each: -1.5)\n"
    )
    return tmp_path


def compiled(folder: Path) -> Path:
    """Where Python keeps what it compiled of the source."""
    return Path(cache_from_source(str(folder / "code" / "scorer.py")))


@pytest.mark.parametrize("mode", py_compile.PycInvalidationMode)
def test_what_python_compiled_of_a_source_changes_nothing(folder: Path, mode: py_compile.PycInvalidationMode) -> None:
    before = digest_of(folder)
    py_compile.compile(str(folder / "code" / "scorer.py"), invalidation_mode=mode)
    compiled(folder).rename(compiled(folder).with_name("scorer.cpython-39.pyc"))
    py_compile.compile(str(folder / "code" / "scorer.py"), invalidation_mode=mode)
    assert compiled(folder).is_file()
    assert digest_of(folder) == before


def another_source(path: Path) -> None:
    other = path.with_name("other.py")
    other.write_text("def score(row):\n    return 'something else'\n")
    py_compile.compile(str(other), cfile=str(path), doraise=True)
    other.unlink()


@pytest.mark.parametrize(
    "forge",
    [
        another_source,
        lambda path: path.write_bytes(path.read_bytes()[:-8]),
        lambda path: path.write_bytes(path.read_bytes()[:16] + b"\xff"),
        lambda path: path.rename(path.with_name("nothing.cpython-311.pyc")),
        lambda path: path.rename(path.with_name("notes.txt")),
    ],
)
def test_a_compiled_file_that_is_not_of_the_source_beside_it_is_a_change(
    folder: Path, forge: Callable[[Path], object]
) -> None:
    before = digest_of(folder)
    py_compile.compile(str(folder / "code" / "scorer.py"))
    forge(compiled(folder))
    assert digest_of(folder) != before


def test_every_name_and_byte_counts(folder: Path) -> None:
    seen = {digest_of(folder)}
    (folder / "MLmodel").write_text("flavors: {}\n\n")
    seen.add(digest_of(folder))
    (folder / "MLmodel").rename(folder / "MLmode1")
    seen.add(digest_of(folder))
    (folder / "empty").touch()
    seen.add(digest_of(folder))
    assert len(seen) == 4
