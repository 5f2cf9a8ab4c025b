"""The registry adapter on a real MLflow database: what it answers, and what it says when it cannot."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.monitor import ModelRef
from controlplane.errors import AliasMoved, RegistryError
from controlplane.registry import Registry

# MLflow's own store uses what SQLAlchemy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CHAMPION = ModelRef("fraud", "champion")


@pytest.fixture(scope="session")
def filled_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with `fraud` (versions 1 and 2, champion 1, challenger 2) and `churn`; made once, copied."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    path.touch()
    client = Registry(f"sqlite:///{path}")._client()
    for name, versions in (("fraud", 2), ("churn", 1)):
        client.create_registered_model(name)
        for _ in range(versions):
            client.create_model_version(name, source=str(path.parent), await_creation_for=None)
    client.set_registered_model_alias("fraud", "champion", "1")
    client.set_registered_model_alias("fraud", "challenger", "2")
    return path


@pytest.fixture
def registry(filled_database: Path, tmp_path: Path) -> Registry:
    return Registry(f"sqlite:///{shutil.copy(filled_database, tmp_path / 'mlflow.db')}")


@pytest.fixture
def client(registry: Registry) -> Any:
    """MLflow's own client beside ours: the somebody else of these tests."""
    from mlflow import MlflowClient

    return MlflowClient(registry.tracking_uri, registry.registry_uri)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_the_holder_of_an_alias_is_a_version(registry: Registry) -> None:
    assert registry.holder(CHAMPION) == "1"
    assert registry.holder(ModelRef("fraud", "challenger")) == "2"


def test_a_missing_alias_names_the_aliases_there_are(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"^'fraud' has no alias 'prod'; valid: challenger, champion$"):
        registry.holder(ModelRef("fraud", "prod"))
    with pytest.raises(RegistryError, match=r"^'churn' has no alias 'prod'; it has none yet$"):
        registry.holder(ModelRef("churn", "prod"))


def test_a_missing_model_names_the_models_there_are(registry: Registry) -> None:
    with pytest.raises(
        RegistryError, match=r"^there is no model 'frod' in the registry sqlite:.*; valid: churn, fraud$"
    ):
        registry.holder(ModelRef("frod", "champion"))


def test_versions_are_listed_oldest_first_and_asked_for_by_number(registry: Registry, client: Any) -> None:
    for _ in range(9):
        client.create_model_version("churn", source="/", await_creation_for=None)
    assert registry.versions("churn") == [str(number) for number in range(1, 11)]
    assert registry.versions("nothing") == []
    assert registry.exists("fraud", "2")
    assert not registry.exists("fraud", "3")
    assert not registry.exists("fraud", "latest")
    assert not registry.exists("nothing", "1")


def test_a_version_has_an_address_and_one_that_is_not_there_names_those_that_are(
    registry: Registry, filled_database: Path
) -> None:
    assert registry.address("fraud", "2") == str(filled_database.parent)
    with pytest.raises(RegistryError, match=r"^'fraud' has no version 9; valid: 1, 2$"):
        registry.address("fraud", "9")
    with pytest.raises(RegistryError, match=r"^'nobody' has no version 1; valid: none$"):
        registry.address("nobody", "1")


def test_a_move_is_seen_by_mlflows_own_client(registry: Registry, client: Any) -> None:
    move = registry.move(CHAMPION, "1", "2")
    assert (move.before, move.after) == ("1", "2")
    assert 0 < move.gap_seconds < 5
    assert client.get_model_version_by_alias("fraud", "champion").version == 2


def test_a_move_by_somebody_else_is_not_overwritten(registry: Registry, client: Any) -> None:
    client.set_registered_model_alias("fraud", "champion", "2")
    with pytest.raises(AliasMoved, match="holds version 2, not version 1") as caught:
        registry.move(CHAMPION, "1", "1")
    assert caught.value.found == "2"
    assert registry.holder(CHAMPION) == "2"


def test_an_alias_taken_away_by_somebody_else_is_not_brought_back(registry: Registry, client: Any) -> None:
    client.delete_registered_model_alias("fraud", "champion")
    with pytest.raises(AliasMoved, match="holds no version") as caught:
        registry.move(CHAMPION, "1", "2")
    assert caught.value.found is None


def test_a_move_right_after_ours_is_reported(registry: Registry, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = registry._client()
    write = ours.set_registered_model_alias

    def write_and_be_overtaken(name: str, alias: str, version: str) -> None:
        write(name, alias, version)
        client.set_registered_model_alias(name, alias, "1")

    monkeypatch.setattr(ours, "set_registered_model_alias", write_and_be_overtaken)
    with pytest.raises(AliasMoved, match="holds version 1 now: somebody moved it right after us") as caught:
        registry.move(CHAMPION, "1", "2")
    assert caught.value.found == "1"


def test_a_move_to_a_version_that_does_not_exist_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="'fraud' has no version 7 to move 'champion' to; valid: 1, 2"):
        registry.move(CHAMPION, "1", "7")
    assert registry.holder(CHAMPION) == "1"


def test_two_processes_that_move_one_alias_leave_it_valid(registry: Registry) -> None:
    script = str(Path(__file__).with_name("registry_mover.py"))
    movers = [
        subprocess.Popen(
            [sys.executable, script, registry.registry_uri, "100"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for mover in movers:
        assert mover.stdout is not None and mover.stdout.readline() == "ready\n"
    for mover in movers:
        assert mover.stdin is not None
        mover.stdin.write("go\n")
        mover.stdin.flush()
    told = [mover.communicate(timeout=60) for mover in movers]
    assert [mover.returncode for mover in movers] == [0, 0], told
    outcomes = [json.loads(out) for out, _ in told]
    assert [len(outcome["gaps"]) + outcome["lost"] for outcome in outcomes] == [100, 100]
    assert all(outcome["gaps"] for outcome in outcomes)
    assert sum(outcome["lost"] for outcome in outcomes) > 0
    assert registry.holder(CHAMPION) in ("1", "2")


def test_a_registry_that_does_not_answer_is_one_sentence_within_seconds(closed_port: int) -> None:
    started = time.monotonic()
    with pytest.raises(RegistryError) as caught:
        Registry(f"http://ann:s3cret@127.0.0.1:{closed_port}").holder(CHAMPION)
    assert time.monotonic() - started < 8
    said = str(caught.value)
    assert f"http://127.0.0.1:{closed_port} could not be asked for fraud@champion" in said
    assert "s3cret" not in said and "\n" not in said


def test_a_database_that_does_not_answer_is_one_sentence_within_seconds(closed_port: int) -> None:
    started = time.monotonic()
    with pytest.raises(RegistryError, match=f"127.0.0.1:{closed_port}/mlflow could not be asked") as caught:
        Registry(f"postgresql+psycopg://ann:s3cret@127.0.0.1:{closed_port}/mlflow").holder(CHAMPION)
    assert time.monotonic() - started < 8
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_no_registry_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="there is no registry at sqlite:///"):
        Registry(f"sqlite:///{tmp_path}/typo.db").holder(CHAMPION)
    assert not (tmp_path / "typo.db").exists()
    (tmp_path / "text.db").write_text("no database, only some words that are long enough to be read as one")
    with pytest.raises(RegistryError, match="could not be asked for"):
        Registry(f"sqlite:///{tmp_path}/text.db").holder(CHAMPION)


def test_the_key_is_stable_and_holds_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Registry("http://ann:x@Host:5000/?token=y").key(CHAMPION) == "http://host:5000 fraud@champion"
    monkeypatch.chdir(tmp_path)
    relative, absolute = Registry("sqlite:///m.db"), Registry(f"sqlite:///{tmp_path}/m.db")
    assert relative.key(CHAMPION) == absolute.key(CHAMPION) == f"sqlite:///{tmp_path}/m.db fraud@champion"
    assert Registry("http://a").key(CHAMPION) != Registry("http://a").key(ModelRef("fraud", "challenger"))
    assert len(Registry("http://a").key(ModelRef("m" * 300, "champion"))) <= 255


def test_artifacts_are_kept_and_fetched_and_the_working_folder_stays_clean(
    registry: Registry, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, into = tmp_path / "elsewhere", tmp_path / "into"
    elsewhere.mkdir()
    into.mkdir()
    monkeypatch.chdir(elsewhere)
    (tmp_path / "a.bin").write_bytes(b"of a file")
    kept = {
        registry.log_artifact("reference", b"of bytes", "digest.reference"): b"of bytes",
        registry.log_artifact("as it is", tmp_path / "a.bin", "a.bin"): b"of a file",
        registry.log_artifact("renamed", tmp_path / "a.bin", "b.bin"): b"of a file",
    }
    for uri, content in kept.items():
        fetched = registry.fetch_artifact(uri, into)
        assert fetched.parent == into and fetched.name == uri.rpartition("/")[2]
        assert fetched.read_bytes() == content
    assert list(elsewhere.iterdir()) == []
    experiment = client.get_experiment_by_name("controlplane")
    assert experiment.artifact_location == (tmp_path / "artifacts" / "controlplane").as_uri()
    assert {run.info.status for run in client.search_runs([experiment.experiment_id])} == {"FINISHED"}


def test_the_artifact_root_can_be_chosen(registry: Registry, client: Any, tmp_path: Path) -> None:
    root = tmp_path / "chosen"
    Registry(registry.tracking_uri, artifact_root=str(root)).log_artifact("r", b"x", "x.bin")
    assert client.get_experiment_by_name("controlplane").artifact_location == (root / "controlplane").as_uri()
    assert [path.read_bytes() for path in root.rglob("x.bin")] == [b"x"]


def test_an_artifact_that_is_gone_is_one_sentence(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="is no artifact of ours; valid: runs:/RUN/NAME"):
        registry.fetch_artifact("s3://bucket/key", tmp_path)
    for uri in ("runs:/0123456789abcdef0123456789abcdef/x.bin", registry.log_artifact("r", b"x", "x.bin") + "s"):
        with pytest.raises(RegistryError, match="could not be asked for artifact"):
            registry.fetch_artifact(uri, tmp_path)
