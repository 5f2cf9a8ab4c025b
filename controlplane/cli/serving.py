"""The command that serves a model: `serve`."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any

import typer

from controlplane.cli.serve import Address
from controlplane.cli.show import Json, console, settings
from controlplane.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(serve)


def serve(
    model: Annotated[str, typer.Argument(help="MODEL@ALIAS: the registered model, and the alias to follow.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0: any that is free.")] = 8080,
    address: Address = "127.0.0.1",
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that answer; they switch together.")] = 1,
    canary: Annotated[
        str | None, typer.Option(help="ALIAS:SHARE, such as challenger:5%: who answers that share of requests.")
    ] = None,
    shadow: Annotated[
        str | None, typer.Option(help="ALIAS:SHARE: who is asked that share too, for the log alone.")
    ] = None,
    log: Annotated[
        str | None, typer.Option(help="A folder or fsspec URL for the inference log; 'none' keeps none.")
    ] = None,
    log_rate: Annotated[float, typer.Option(min=0.0, max=1.0, help="Which share of requests is logged.")] = 1.0,
    log_drop: Annotated[list[str] | None, typer.Option(help="An input column that is not logged; repeatable.")] = None,
    log_hash: Annotated[
        list[str] | None,
        typer.Option(help="An input column that is logged as its HMAC; CONTROLPLANE_LOG_KEY is the key; repeatable."),
    ] = None,
    log_retain: Annotated[float | None, typer.Option(min=0.0, help="Days after which logged rows are deleted.")] = None,
    log_rotate: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which logged rows can be read, at the latest.")
    ] = 10.0,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the aliases.")] = 2.0,
    most_bytes: Annotated[int, typer.Option(min=1, help="Bytes of a request's body that are taken at most.")] = 16
    << 20,
    answer_seconds: Annotated[float, typer.Option(min=0.1, help="Seconds that a version may take to answer.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Serve the version that an alias holds, and switch when it moves, without dropping a request.

    MLflow's scoring protocol at /invocations; /version, /readyz, /healthz and /metrics beside it. The next version is
    loaded and warmed up beside the one that answers, which stays if that fails.
    """
    from controlplane.app import open_registry, open_store
    from controlplane.config import silence_telemetry
    from controlplane.domain.monitor import ModelRef
    from controlplane.log.inference import check_settings
    from controlplane.serving import Limits, Plan, Share, Words
    from controlplane.serving import serve as start

    name, _, alias = model.rpartition("@")
    if not name or not alias:
        raise ConfigError(f"{model!r} names no alias; valid: MODEL@ALIAS, such as churn@champion")
    silence_telemetry()
    chosen = settings()
    options: dict[str, Any] = {
        "url": log or str(chosen.home / "log" / name),
        "rate": log_rate,
        "drop": tuple(log_drop or ()),
        "hash": tuple(log_hash or ()),
        "hash_key": None if chosen.log_key is None else chosen.log_key.get_secret_value(),
        "retain": None if log_retain is None else timedelta(days=log_retain),
        "rotate_every": log_rotate,
    }
    if log != "none":
        drop, hashed = frozenset(options["drop"]), frozenset(options["hash"])
        check_settings(options["url"], log_rate, drop, hashed, chosen.log_key is not None, options["retain"])
    plan = Plan(
        ModelRef(name, alias),
        address,
        port,
        chosen.home,
        canary=None if canary is None else Share.parse(canary),
        shadow=None if shadow is None else Share.parse(shadow),
        workers=workers,
        every=timedelta(seconds=every),
        limits=Limits(body_bytes=most_bytes, answer_seconds=answer_seconds),
        log=None if log == "none" else options,
        secret=None if chosen.serving_secret is None else chosen.serving_secret.get_secret_value(),
    )
    registry = open_registry(chosen)

    def listening(at: int) -> None:
        if as_json:
            # One line, so that whoever started it can read it while it runs.
            typer.echo(json.dumps({"model": name, "alias": alias, "address": address, "port": at}))
        else:
            console(stderr=True).print(f"serving {model} at http://{address}:{at}", soft_wrap=True)

    with Words(registry, lambda: open_store(chosen)) as words:
        start(plan, registry, words.tell, listening)
