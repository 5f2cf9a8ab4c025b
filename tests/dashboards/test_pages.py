"""Each page on a told story: what it says, and what it never does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import seed
from conftest import words_of
from streamlit.testing.v1 import AppTest

from controlplane.dashboards import canonical, charts, queries, words
from controlplane.store import Store

Show = Callable[..., AppTest]
PAGES = ["overview.py", "rmf.py", "monitors.py", "monitor.py", "incidents.py", "rollbacks.py", "history.py"]


def test_the_overview_begins_with_what_waits_for_a_person(show: Show) -> None:
    said = words_of(show())
    assert "**1** rollback waits for approval · **2** incidents are open and nobody has them" in said
    assert "move digits@champion from version 2 back to version 1" in said
    assert "cannot see for 2 windows in a row: performance: 12 labelled rows; accuracy needs 30" in said
    assert said.index("waits for approval") < said.index("a receiver was not reached") < said.index("seen by dana")


def test_the_overview_has_one_row_a_monitor_with_its_version_and_its_last_window(show: Show) -> None:
    rows = show().dataframe[0].value.set_index("Monitor")
    assert list(rows.index) == ["digits", "insurance"]
    assert rows.loc["insurance", ["Model", "Version", "Last", "n", "Risk", "Owner"]].tolist() == [
        "insurance@champion",
        "1",
        "FAIL",
        "812",
        "medium",
        "pricing@example.org",
    ]
    assert rows.loc["digits", "Windows"].startswith("data:image/svg+xml;base64,")


def test_a_monitor_that_nobody_runs_any_more_is_late() -> None:
    now = datetime.now(UTC)
    one = queries.Watched(seed.INSURANCE, "1", (run := _run(now - timedelta(hours=2)),))
    assert not one.late(now)
    assert one.late(run.window_end + timedelta(hours=4))
    assert not queries.Watched(seed.INSURANCE, None, ()).late(now)


def _run(end: datetime) -> queries.RunRow:
    return queries.RunRow(window_start=end - timedelta(hours=1), window_end=end, recorded_at=end)


def test_every_subcategory_is_listed_with_its_status_and_nothing_is_called_compliant(show: Show) -> None:
    app = show("rmf.py")
    assert sum(len(table.value) for table in app.dataframe) == 72
    said = words_of(app)
    assert "72 subcategories" in said and "compliant" not in said
    assert [button.label for button in app.get("download_button")] == ["Report as HTML", "Report as JSON"]


def test_the_framework_can_be_narrowed_to_one_status(show: Show) -> None:
    app = show("rmf.py")
    app.button_group[0].select("gap").run()
    statuses = {status for table in app.dataframe for status in table.value["Status"]}
    assert statuses == {"gap"}


def test_the_map_says_what_is_watched_by_the_stored_limits_and_who_held_the_alias(show: Show) -> None:
    app = show("monitors.py")
    assert "pricing@example.org" in words_of(app)
    limits = [tuple(row) for table in app.dataframe if "Limit" in table.value for row in table.value.values]
    assert ("drift", "drift", "max 0.2", "0.1", 30, "300 s", "-") in limits
    held = next(table.value for table in app.dataframe if "a rollback of ours" in list(table.value.get("By", [])))
    assert held["Version"].tolist() == ["1", "2", "1"]


def test_a_measure_is_drawn_with_its_interval_its_limit_and_the_version_that_answered(show: Show) -> None:
    app = show("monitor.py", monitor="insurance", check="performance")
    assert [box.value for box in app.selectbox][:3] == ["insurance", "performance", "accuracy"]
    sets = app.get("vega_lite_chart")[0].proto.datasets
    values = [row for one in sets for row in pa.ipc.open_stream(one.data.data).read_all().to_pylist()]
    marked = [row for row in values if "outcome" in row]
    failed = next(row for row in marked if row["outcome"] == "FAIL")
    assert failed["n"] == "812" and failed["version"] == "2" and " to " in failed["interval"]
    assert {row["label"] for row in values if "label" in row} == {"version 1", "version 2"}
    assert {row["limit"] for row in values if "limit" in row} == {0.65}
    assert {row["version"] for row in marked if row["outcome"] == "beside it"} == {"1"}


def test_the_findings_of_a_window_come_worst_first_with_their_sentences(show: Show) -> None:
    findings = show("monitor.py", monitor="insurance").dataframe[0].value
    assert findings["Outcome"].tolist()[0] == "FAIL"
    assert "is above max 0.2" in findings["Why"].tolist()[0]
    assert set(findings["n"]) == {"812", "203", "-"}


def test_the_report_attached_to_a_window_is_named_with_its_place(show: Show) -> None:
    app = show("monitor.py", monitor="insurance")
    window = app.selectbox[-1]
    window.select_index(6).run()
    assert app.code[0].value == "file:///srv/controlplane/artifacts/4/drift.html"


def test_incidents_come_open_ones_first_and_the_worst_is_shown(show: Show) -> None:
    app = show("incidents.py")
    states = app.dataframe[0].value["State"].tolist()
    assert states == ["open", "open", "acknowledged", "closed", "closed"]
    said = words_of(app)
    assert "insurance: drift" in said and "insurance@champion stays at version 1" in said


def test_the_address_opens_an_incident_with_its_timeline_its_deliveries_and_its_proof(
    show: Show, told: seed.Told
) -> None:
    app = show("incidents.py", incident=told.performance)
    said = words_of(app)
    for event in ("opened", "rollback made", "rollback verified", "closed"):
        assert f"-badge[{event}]" in said
    assert "insurance@champion moved from version 2 back to version 1" in said
    assert "unguarded gap 6.1 ms" in said
    proof = app.dataframe[1].value.iloc[0].to_dict()
    assert proof["difference"] == "-0.14" and proof["95 % interval"] == "-0.172 to -0.108" and proof["n"] == 812


def test_the_address_of_an_incident_works_on_the_landing_page_too(show: Show, told: seed.Told) -> None:
    app = show(incident=told.blind)
    assert app.title[0].value == "Incidents"
    assert "digits: blind" in words_of(app)


def test_a_notification_that_did_not_arrive_says_why(show: Show, told: seed.Told) -> None:
    assert "on-call · hooks.example.org answered 500; given up after 12 attempts" in words_of(
        show("incidents.py", incident=told.drift)
    )


def test_an_incident_that_does_not_exist_is_one_sentence(show: Show) -> None:
    assert "There is no incident 01NONE here" in words_of(show("incidents.py", incident="01NONE"))


def test_rollbacks_come_with_their_proof_those_that_wait_first(show: Show) -> None:
    rows = show("rollbacks.py").dataframe[0].value
    assert rows["State"].tolist() == ["proposed", "refused", "verified", "refused"]
    assert rows.iloc[0][["From", "To", "Difference", "95 % interval", "n"]].tolist() == [
        "2",
        "1",
        "-0.555",
        "-0.62 to -0.487",
        "240",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_text_of_others_never_becomes_markup(show: Show, page: str) -> None:
    app = show(page)
    for element in (*app.markdown, *app.caption):
        assert "<img" not in element.value and "[here](" not in element.value, element.value


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_store_says_what_to_do_next(
    show: Show, tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(seed.url_of(tmp_path))
    store.migrate()
    store.close()
    monkeypatch.setenv("CONTROLPLANE_DATABASE_URL", seed.url_of(tmp_path))
    said = words_of(show(page))
    assert "controlplane run" in said or "A failing check" in said


def test_a_monitor_without_a_run_says_which_command_runs_it(
    show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(seed.url_of(tmp_path))
    store.migrate()
    with store.begin() as session:
        seed.records.store_monitor(session, seed.DIGITS, datetime.now(UTC))
    store.close()
    monkeypatch.setenv("CONTROLPLANE_DATABASE_URL", seed.url_of(tmp_path))
    assert "No run yet: `controlplane run digits`" in words_of(show())
    assert "No run yet: `controlplane run digits`" in words_of(show("monitor.py"))


def test_a_missing_database_is_one_sentence_and_is_not_made(
    show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTROLPLANE_DATABASE_URL", seed.url_of(tmp_path))
    app = show()
    assert len(app.error) == 1 and "There is no database" in app.error[0].value
    assert not (tmp_path / "controlplane.db").exists()


def test_a_database_of_another_revision_is_one_sentence(show: Show, folder: Path) -> None:
    with sqlite3.connect(folder / "controlplane.db") as connection:
        connection.execute("UPDATE cp_alembic_version SET version_num = '0000'")
    app = show()
    assert len(app.error) == 1 and "controlplane db upgrade" in app.error[0].value


def test_a_database_that_cannot_be_reached_is_one_sentence_without_its_password(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTROLPLANE_DATABASE_URL", "postgresql+psycopg://ann:s3cret@localhost:1/none")
    app = show()
    assert len(app.error) == 1 and "s3cret" not in app.error[0].value


def test_no_database_named_at_all_is_one_sentence(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTROLPLANE_DATABASE_URL")
    assert "CONTROLPLANE_DATABASE_URL is not set" in show().error[0].value


def test_the_stored_form_of_a_monitor_is_read_back_whole() -> None:
    for monitor in (seed.INSURANCE, seed.DIGITS):
        assert canonical.read_monitor(monitor.canonical()).digest == monitor.digest


def test_an_address_in_the_text_of_others_is_no_link() -> None:
    assert "http://" not in words.plain("see http://outside.example").replace("\\", "")


def test_the_strip_of_a_worse_window_is_taller() -> None:
    assert charts.strip([queries.RunRow(outcome="PASS")], 2) != charts.strip([queries.RunRow(outcome="FAIL")], 2)


def test_a_calibrated_model_shows_what_it_believed_against_what_came_true(show: Show) -> None:
    app = show("monitor.py", monitor="insurance", check="calibration")
    assert app.selectbox[2].value == "calibration_error" and len(app.get("vega_lite_chart")) == 2
    app.selectbox[2].select("reliability").run()
    (curve,) = app.get("vega_lite_chart")
    values = [row for one in curve.proto.datasets for row in pa.ipc.open_stream(one.data.data).read_all().to_pylist()]
    bins = [row for row in values if "observed" in row]
    assert [(row["confidence"], row["observed"], row["rows"]) for row in bins] == [
        (0.13, 0.118, "203"),
        (0.34, 0.36, "203"),
        (0.62, 0.591, "203"),
        (0.89, 0.793, "203"),
    ]
    assert "Dashed: where probabilities come true" in words_of(app)
