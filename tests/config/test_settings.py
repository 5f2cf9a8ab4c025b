from __future__ import annotations

import os
from pathlib import Path

import pytest

from controlplane.config import Settings, silence_telemetry
from controlplane.config.secrets import resolve_options
from controlplane.config.settings import IN_FILES
from controlplane.errors import ConfigError, masked


@pytest.fixture(autouse=True)
def empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("CONTROLPLANE_", "MLFLOW_"))]:
        monkeypatch.delenv(name)


def test_everything_lies_in_the_home_folder_unless_said(tmp_path: Path) -> None:
    settings = Settings()
    assert settings.home == tmp_path / ".controlplane"
    assert settings.jobs == Path("jobs")
    assert settings.database == f"sqlite:///{tmp_path}/.controlplane/controlplane.db"
    assert settings.tracking_uri == settings.registry_uri == f"sqlite:///{tmp_path}/.controlplane/mlflow.db"
    assert (settings.workspace, settings.workers, settings.lease_seconds) == ("default", 2, 600)


def test_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTROLPLANE_HOME", "/srv/cp")
    monkeypatch.setenv("CONTROLPLANE_WORKERS", "4")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    settings = Settings()
    assert (settings.home, settings.workers) == (Path("/srv/cp"), 4)
    assert settings.database == "sqlite:////srv/cp/controlplane.db"
    assert settings.registry_uri == settings.tracking_uri == "http://mlflow"


def test_our_own_variable_beats_the_one_of_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://theirs")
    monkeypatch.setenv("CONTROLPLANE_TRACKING_URI", "http://ours")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry")
    assert (Settings().tracking_uri, Settings().registry_uri) == ("http://ours", "http://registry")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTROLPLANE_DATABASE_URL", "")
    assert Settings().database.startswith("sqlite:///")


def test_an_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONTROLPLANE_HOME", "/srv/cp")
    monkeypatch.setenv("CONTROLPLANE_TRACKING_URI", "http://environment")
    settings = Settings(home=tmp_path, tracking_uri="http://argument")
    assert (settings.home, settings.tracking_uri) == (tmp_path, "http://argument")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WORKERS", "many", "CONTROLPLANE_WORKERS is 'many'; it must be a whole number"),
        ("WORKERS", "0", "CONTROLPLANE_WORKERS is '0'; it must be at least 1"),
        ("LEASE_SECONDS", "1", "CONTROLPLANE_LEASE_SECONDS is '1'; it must be at least 10"),
        (
            "WEBHOOK_LISTEN",
            "8510",
            "CONTROLPLANE_WEBHOOK_LISTEN: '8510' is no address; valid: HOST:PORT, such as 127.0.0.1:8510",
        ),
        (
            "WEBHOOK_LISTEN",
            "127.0.0.1:8510",
            "CONTROLPLANE_WEBHOOK_SECRET: a webhook that nobody signs would be anybody's; "
            "set the secret that MLflow signs with",
        ),
        (
            "WORKSPACE",
            "two words",
            "CONTROLPLANE_WORKSPACE: 'two words' is not a name; "
            "letters, digits, '.', '_' and '-', at most 100, no spaces",
        ),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"CONTROLPLANE_{name}", value)
    with pytest.raises(ConfigError) as caught:
        Settings()
    assert str(caught.value) == said


def test_no_secret_is_ever_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTROLPLANE_DATABASE_URL", "postgresql://ann:hunter2@db/prod?password=hunter2")
    monkeypatch.setenv("CONTROLPLANE_TRACKING_URI", "https://ann:hunter2@mlflow")
    monkeypatch.setenv("CONTROLPLANE_WEBHOOK_SECRET", "hunter2")
    settings = Settings()
    assert "hunter2" not in repr(settings) + str(settings)
    assert "postgresql://***@db/prod?***" in repr(settings)
    assert settings.database == "postgresql://ann:hunter2@db/prod?password=hunter2"


@pytest.mark.parametrize("name", IN_FILES)
def test_a_secret_may_stand_in_a_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2 \n")
    monkeypatch.setenv(f"CONTROLPLANE_{name.upper()}_FILE", str(tmp_path / "secret"))
    settings = Settings()
    assert getattr(settings, name).get_secret_value() == "hunter2 "
    monkeypatch.setenv(f"CONTROLPLANE_{name.upper()}", "hunter3")
    with pytest.raises(ConfigError) as caught:
        Settings()
    variable = f"CONTROLPLANE_{name.upper()}"
    assert str(caught.value) == f"{variable} and {variable}_FILE are both set; set one of them"
    assert getattr(Settings(**{name: "argument"}), name).get_secret_value() == "argument"


def test_every_secret_may_stand_in_a_file() -> None:
    assert {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)} == set(
        IN_FILES
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "which cannot be read: No such file or directory"),
        (b"\n", "which is empty; it must hold the secret alone"),
        (b"\xff", "which cannot be read: it is no text in UTF-8"),
    ],
)
def test_a_file_without_a_secret_names_its_variable(
    content: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("CONTROLPLANE_LOG_KEY_FILE", str(tmp_path / "secret"))
    with pytest.raises(ConfigError) as caught:
        Settings()
    assert str(caught.value) == f"CONTROLPLANE_LOG_KEY_FILE names '{tmp_path}/secret', {said}"


def test_what_a_job_names_may_stand_in_a_file_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    monkeypatch.setenv("WAREHOUSE_URL_FILE", str(tmp_path / "secret"))
    assert resolve_options({"url": "${WAREHOUSE_URL}"}, tmp_path) == {"url": "hunter2"}
    monkeypatch.setenv("WAREHOUSE_URL", "hunter3")
    assert resolve_options({"url": "${WAREHOUSE_URL}"}, tmp_path) == {"url": "hunter3"}


def test_masking_covers_passwords_that_hold_signs_of_a_url() -> None:
    assert masked("cannot reach redis://:p@ss/w:rd@cache:6379/0 now") == "cannot reach redis://***@cache:6379/0 now"
    assert masked("https://mlflow.example.org/api?x=1") == "https://mlflow.example.org/api?***"


def test_telemetry_is_off_unless_somebody_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DO_NOT_TRACK", "STREAMLIT_BROWSER_GATHER_USAGE_STATS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    silence_telemetry()
    assert os.environ["DO_NOT_TRACK"] == "true"
    assert os.environ["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] == "false"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
