"""Configuration as code: the environment -> `Settings`, a folder of YAML files -> `Jobs`.

One file describes one watched model; `system.yaml` beside them says what they share. This is everything a job can
say; only `schema`, `model`, `source`, `columns`, `schedule` and `checks` are mandatory::

    schema: 1
    name: insurance                        # the file's name if left out
    model: {name: insurance, alias: champion}
    owner: risk-team@example.org
    risk_tier: medium                      # low, medium or high
    runbook: https://wiki.example.org/insurance
    source: {kind: files, path: ../data/insurance/*.parquet}   # paths start at this file's folder
    columns:
      event_time: at
      row_id: id
      model_version: model_version
      prediction: prediction
      probability: probability
      label: visits
      features: [age, income]              # every other column if left out
    labels: {kind: sql, url: "${LABELS_URL}", table: labels}   # joined by row_id
    reference: {kind: files, path: ../data/insurance-reference.parquet}
    schedule:                              # or: every: 1h
      cron: "0 * * * *"                    # five fields, UTC
      window: 1h                           # s, m, h, d or w
      delay: 5m
      starts: 2026-01-01T00:00:00Z
      catch_up: 24
    sample_rows: 100000
    checks:
      - check: drift
        name: inputs                       # the check's own name if left out
        params: {}
        limits: {drift: {max: 0.2, warn: 0.1}}   # the check's own limits if left out
        min_rows: 30
        timeout: 5m
        memory: 4GiB                       # MiB, GiB or unlimited
        dry_run: false
    tolerance: {fails: 1, blind: 2, recover: 1}
    reaction: observe                      # observe, propose or rollback
    rollback_targets: ["1"]
    guards:
      cooldown: 1h
      approval_expires: 1d
      most_moves: 2                        # of the alias, without a person, in this time:
      most_moves_per: 1d
      on_failure: escalate                 # where the target fails too: escalate or undo
      freeze_windows:                      # when the alias is not moved; cron in UTC
        - {cron: "0 18 * * 5", for: 60h, why: nobody is there at weekends}
    serving: {url: "https://serving.example.org/version", within: 60s}   # asked for its version after a move
    receivers: [log, oncall]               # from system.yaml; log always exists

and `system.yaml`::

    schema: 1
    organization: Example Ltd
    receivers:
      oncall: {kind: webhook, url: "${ONCALL_URL}", secret: "${ONCALL_SECRET}"}
    defaults: {owner: ml-platform@example.org, receivers: [log]}
    rollback:                              # over all jobs, without a person:
      most_per_hour: 3                     # moves in an hour
      blast_radius: {low: 5, medium: 3, high: 1}   # aliases of a risk tier moved and not yet verified
      freeze_windows:                      # when nothing is moved
        - {cron: "0 0 20 12 *", for: 14d, why: year-end freeze}

Scalars are those of YAML 1.2: `no`, `on` and dates are text. `${VAR}` may stand only in options that bear secrets
(those their `Params` keeps out of its repr). A monitor holds it unexpanded, since its canonical form is stored;
`resolve_options` expands it when a source or notifier is constructed.
"""

from controlplane.config.jobs import Jobs, ReceiverSpec, load_job, load_jobs, load_valid
from controlplane.config.kinds import make_params
from controlplane.config.schema import json_schema
from controlplane.config.secrets import expand, resolve_options
from controlplane.config.settings import Settings, silence_telemetry

__all__ = [
    "Jobs",
    "ReceiverSpec",
    "Settings",
    "expand",
    "json_schema",
    "load_job",
    "load_jobs",
    "load_valid",
    "make_params",
    "resolve_options",
    "silence_telemetry",
]
