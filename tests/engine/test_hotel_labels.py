"""Real bookings whose labels come 30 days late: winter is seen with them, and nothing is rolled back for it."""

from __future__ import annotations

import logging
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from test_hotel_stream import DATA, with_times

from controlplane.app import open_app
from controlplane.config import Settings
from controlplane.engine import cycle, register
from controlplane.store.tables import FindingRow, IncidentRow, RunRow, TransitionRow
from controlplane.store.tables_acts import ActionRow

FIRST, LAST = datetime(2016, 10, 31, tzinfo=UTC), datetime(2017, 5, 29, tzinfo=UTC)
WEEK, LATE = timedelta(days=7), timedelta(days=30)
NUMBERS = [
    "lead_time",
    "stays_in_weekend_nights",
    "stays_in_week_nights",
    "adults",
    "previous_cancellations",
    "booking_changes",
    "adr",
]
NAMES = ["country", "market_segment", "deposit_type", "customer_type"]
MORE = ["parking_spaces", "total_of_special_requests", "is_repeated_guest"]
FEATURES = {"1": (NUMBERS, NAMES), "2": (NUMBERS + MORE, [*NAMES, "hotel"])}

JOB = """
schema: 1
model: {name: bookings, alias: champion}
source: {kind: files, path: ../data/monitoring.parquet}
labels: {kind: files, path: ../data/labels.parquet}
late_labels: {wait: 45d, known_at: known}
reference: {kind: files, path: ../data/reference.parquet}
columns:
  event_time: timestamp
  row_id: id
  prediction: prediction
  probability: probability
  label: is_canceled
schedule: {cron: "0 0 * * 1", window: 7d, starts: 2016-10-31T00:00:00Z, catch_up: 1000}
checks: [{check: performance, params: {metrics: [accuracy]}}, {check: estimated_performance}]
reaction: rollback
rollback_targets: ["1"]
"""


def release(folder: Path, rows: pa.Table) -> Any:
    """Two versions of a model that answers as the model behind the data does; the second knows more columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from sklearn.compose import make_column_transformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        uri = f"sqlite:///{folder}/mlflow.db"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        client = mlflow.MlflowClient(uri, uri)
        experiment = client.create_experiment("training", artifact_location=(folder / "artifacts").as_uri())
        frame = rows.to_pandas()
        for numbers, names in FEATURES.values():
            columns = make_column_transformer(
                (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore", min_frequency=20), names)
            )
            model = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(frame[numbers + names], rows["y_pred"])
            with mlflow.start_run(experiment_id=experiment):
                mlflow.sklearn.log_model(
                    model,
                    name="bookings",
                    input_example=frame[numbers + names].head(2),
                    registered_model_name="bookings",
                    pip_requirements=["scikit-learn", "skops"],
                )
        client.set_registered_model_alias("bookings", "champion", "2")
        return model


def answered(model: Any, rows: pa.Table) -> pa.Table:
    """The rows as production logs them: with the answers of version 2, and an id."""
    numbers, names = FEATURES["2"]
    chance = model.predict_proba(rows.select(numbers + names).to_pandas())[:, 1]
    kept = rows.drop_columns(["y_pred", "y_pred_proba"])
    kept = kept.append_column("prediction", pa.array((chance > 0.5).astype(np.int64)))
    kept = kept.append_column("probability", pa.array(chance))
    return kept.append_column("id", pa.array([f"b{row}" for row in range(rows.num_rows)]))


@pytest.mark.skipif(not (DATA / "monitoring_hotel_booking.parquet").exists(), reason="the data is not here")
def test_winter_is_told_from_a_bad_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "")
    for folder in ("jobs", "data", "home"):
        (tmp_path / folder).mkdir()
    rows = with_times("reference")
    odd = pa.array(np.arange(rows.num_rows) % 2 == 1)
    model = release(tmp_path, rows.filter(pc.invert(odd)))
    pq.write_table(answered(model, rows.filter(odd)), tmp_path / "data" / "reference.parquet")
    stream = answered(model, with_times("monitoring"))
    labels = stream.select(["id", "is_canceled"]).append_column("known", pc.add(stream["timestamp"], pa.scalar(LATE)))
    pq.write_table(labels, tmp_path / "data" / "labels.parquet")
    pq.write_table(stream.drop_columns(["is_canceled"]), tmp_path / "data" / "monitoring.parquet")
    (tmp_path / "jobs" / "hotel.yaml").write_text(JOB)
    uri, clock = f"sqlite:///{tmp_path}/mlflow.db", [FIRST]
    settings = Settings(home=tmp_path / "home", jobs=tmp_path / "jobs", tracking_uri=uri, registry_uri=uri)
    with open_app(settings, now=lambda: clock[0]) as (context, problems):
        assert not problems
        register.register(context)
        while clock[0] < LAST:
            clock[0] += WEEK
            cycle.tick(context)
        with context.store.begin() as session:
            incidents = {row.cause: row for row in session.query(IncidentRow).order_by(IncidentRow.id.desc())}
            told = session.query(TransitionRow.incident_id, TransitionRow.at).filter_by(event="closed")
            closed = {incident: at for incident, at in told}
            actions = session.query(ActionRow).order_by(ActionRow.id).all()
            records = [
                finding
                for _, finding in session.query(RunRow, FindingRow)
                .join(FindingRow, FindingRow.run_id == RunRow.id)
                .filter(FindingRow.measure == "estimated_accuracy_error")
                .order_by(RunRow.window_end, RunRow.revision)
            ]
            errors = session.query(FindingRow.why).filter_by(outcome="ERROR").all()
            judged = [
                (run.window_end, run.recorded_at)
                for run, _ in session.query(RunRow, FindingRow)
                .join(FindingRow, FindingRow.run_id == RunRow.id)
                .filter(FindingRow.check == "performance", FindingRow.measure == "accuracy_vs_baseline")
                .filter(FindingRow.outcome.is_not(None))
            ]
    assert not errors
    assert all(timedelta(days=26) <= at - end <= timedelta(days=37) for end, at in judged) and len(judged) >= 24
    found = incidents["performance"]
    assert datetime(2016, 12, 20, tzinfo=UTC) < found.opened_at < datetime(2017, 1, 20, tzinfo=UTC)
    assert records[-1].n >= 20 and records[-1].estimate < 0.05 and "truths inside its interval" in records[-1].why
    estimated = incidents["estimated_performance"]
    assert found.opened_at - estimated.opened_at >= timedelta(days=28), "estimated weeks before the labels came"
    assert found.id in closed and closed[found.id] < datetime(2017, 5, 29, tzinfo=UTC)
    assert {action.state for action in actions} == {"refused"}
    assert any(action.code == "world_changed" for action in actions), [action.why for action in actions]
    assert context.registry.holder(context.monitors["hotel"].model) == "2"
