"""A told story in a real SQLite file, and the pages run on it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from controlplane.store import Store

sys.path.insert(0, str(Path(__file__).parent))

import seed  # beside this file

APP = Path(__file__).parents[2] / "dashboards" / "app.py"
Show = Callable[..., AppTest]


@pytest.fixture(scope="session")
def told_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, seed.Told]:
    folder = tmp_path_factory.mktemp("told")
    store = Store(seed.url_of(folder))
    ids = seed.tell(store)
    store.close()
    return folder, ids


@pytest.fixture
def told(told_once: tuple[Path, seed.Told]) -> seed.Told:
    return told_once[1]


@pytest.fixture
def folder(told_once: tuple[Path, seed.Told], tmp_path: Path) -> Path:
    """The test's own copy of the story."""
    shutil.copytree(told_once[0], tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def show(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Run one page as the browser would, with what the address asks for; no page may raise."""
    monkeypatch.setenv("CONTROLPLANE_DATABASE_URL", seed.url_of(folder))
    monkeypatch.setenv("CONTROLPLANE_WORKSPACE", "default")

    def run(page: str = "", **asked: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=30)
        if page:
            app.switch_page(page)
        for name, value in asked.items():
            app.query_params[name] = value
        app.run()
        assert [error.value for error in app.exception] == []
        return app

    return run


def words_of(app: AppTest) -> str:
    """Everything a page says in words."""
    kinds = (app.title, app.subheader, app.markdown, app.text, app.caption, app.info, app.warning, app.error)
    said = [element.value for kind in (*kinds, app.success) for element in kind]
    return "\n".join(said).replace("\\", "")
