"""Settings of an installation, from the environment."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from controlplane.config.report import say
from controlplane.config.secrets import secret_in_file
from controlplane.config.values import name_of
from controlplane.errors import ConfigError, masked

PREFIX = "CONTROLPLANE_"
IN_FILES = ("database_url", "webhook_secret", "serving_secret", "log_key")
"""The settings that may also stand in a file, which `CONTROLPLANE_<NAME>_FILE` names."""

_QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
}


def silence_telemetry() -> None:
    """Switch off the telemetry of MLflow, Evidently and Streamlit; must run before any of them is imported.

    What the environment already says is left alone.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


class Settings(BaseSettings):
    """Where an installation keeps its things and how it works; each is `CONTROLPLANE_<NAME>` in the environment.

    `home` is made absolute; `database_url` and `tracking_uri` are SQLite files in it unless given. The tracking and
    registry URIs follow MLflow's own variables where ours are not set. Values with credentials never show in the
    repr, and secrets may stand in files (`IN_FILES`). Raises ConfigError that names the variable.

    >>> Settings(home=Path("/srv/cp"), database_url="postgresql://ann:s3cret@db/prod").database
    'postgresql://ann:s3cret@db/prod'
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", validate_by_name=True
    )

    home: Path = Path(".controlplane")
    jobs: Path = Path("jobs")
    database_url: SecretStr = Field(
        default_factory=lambda known: SecretStr(f"sqlite:///{known['home']}/controlplane.db")
    )
    tracking_uri: str = Field(
        default_factory=lambda known: f"sqlite:///{known['home']}/mlflow.db",
        validation_alias=AliasChoices(f"{PREFIX}TRACKING_URI", "MLFLOW_TRACKING_URI"),
    )
    registry_uri: str = Field(
        default_factory=lambda known: known["tracking_uri"],
        validation_alias=AliasChoices(f"{PREFIX}REGISTRY_URI", "MLFLOW_REGISTRY_URI"),
    )
    workspace: str = "default"
    workers: Annotated[int, Field(ge=1, le=256)] = 2
    lease_seconds: Annotated[int, Field(ge=10)] = 600
    webhook_listen: str = ""
    webhook_secret: SecretStr | None = Field(default=None, validate_default=True, repr=False)
    serving_secret: SecretStr | None = Field(default=None, repr=False)
    log_key: SecretStr | None = Field(default=None, repr=False)

    def __init__(self, **values: Any) -> None:
        values = {**_read_files(values), **values}
        try:
            super().__init__(**values)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            name = str(detail["loc"][0]).upper() if detail["loc"] else "the settings"
            name = name if name.startswith((PREFIX, "MLFLOW_")) else PREFIX + name
            wrong, valid = say(detail, name)
            raise ConfigError(masked(f"{wrong}; {valid}" if valid else wrong)) from None

    @property
    def database(self) -> str:
        """The database's URL with its credentials, for connecting; never for a message."""
        return self.database_url.get_secret_value()

    @property
    def webhook_address(self) -> tuple[str, int] | None:
        """Where the scheduler listens for MLflow's webhooks; None where it does not."""
        host, _, port = self.webhook_listen.rpartition(":")
        return (host.strip("[]"), int(port)) if port else None

    @field_validator("webhook_listen")
    @classmethod
    def _an_address(cls, text: str) -> str:
        host, _, port = text.rpartition(":")
        if text and (not host or not port.isascii() or not port.isdigit() or int(port) > 65_535):
            raise ValueError(f"{text!r} is no address; valid: HOST:PORT, such as 127.0.0.1:8510")
        return text

    @field_validator("webhook_secret")
    @classmethod
    def _shared(cls, secret: SecretStr | None, known: ValidationInfo) -> SecretStr | None:
        if known.data.get("webhook_listen") and secret is None:
            raise ValueError("a webhook that nobody signs would be anybody's; set the secret that MLflow signs with")
        return secret

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("workspace")
    @classmethod
    def _named(cls, workspace: str) -> str:
        return name_of(workspace)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            shown = value.get_secret_value() if isinstance(value, SecretStr) else value
            yield name, masked(shown) if isinstance(shown, str) else shown


def _read_files(given: Container[str]) -> dict[str, str]:
    found = {}
    for name in (name for name in IN_FILES if name not in given):
        variable = PREFIX + name.upper()
        secret = secret_in_file(variable)
        if secret is not None and os.environ.get(variable):
            raise ConfigError(f"{variable} and {variable}_FILE are both set; set one of them")
        if secret is not None:
            found[name] = secret
    return found
