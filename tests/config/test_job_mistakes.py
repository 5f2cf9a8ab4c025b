from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.config import load_jobs, load_valid
from controlplane.errors import ConfigError

Write = Callable[..., Path]


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_jobs(folder)
    return [str(problem).removeprefix("jobs/") for problem in caught.value.problems]


SECRET_URL = "postgresql://ann:hunter2@db/prod"
MISTAKES = [
    ("owner: risk", "ownr: risk", "3: unknown key 'ownr'; did you mean 'owner'?"),
    ("check: drift", "check: drfit", "15: unknown check 'drfit'; did you mean 'drift'?"),
    ("check: drift", "check: zebra", "15: unknown check 'zebra'; valid: drift, performance"),
    ("alias: champion", "alis: champion", "2: unknown key 'alis'; did you mean 'alias'?"),
    ("schema: 1", "schema: 2", "1: schema is 2; valid: 1"),
    ("schema: 1\n", "\n", "2: missing key 'schema'; the version of this format; write schema: 1"),
    (", alias: champion", "", "2: missing key 'alias' in model; the alias that production follows"),
    ("owner: risk-team@example.org", "risk_tier: hihg", "3: risk_tier is 'hihg'; did you mean 'high'?"),
    ("owner: risk-team@example.org", "reaction: panic", "3: reaction is 'panic'; valid: observe, propose, rollback"),
    ("owner: risk-team@example.org", "sample_rows: many", "3: sample_rows is 'many'; it must be a whole number"),
    ("owner: risk-team@example.org", "sample_rows: 0", "3: sample_rows is 0; it must be at least 1"),
    (
        "owner: risk-team@example.org",
        "rollback_targets: [1]",
        '3: item 1 of rollback_targets is 1; it must be text in quotes, such as "1"',
    ),
    ("owner: risk-team@example.org", "owner:", "3: 'owner' has no value; give one, or leave it out"),
    ("owner: risk-team@example.org", "owner: [a]", "3: owner is a list; it must be text"),
    (
        "owner: risk-team@example.org",
        "budget: {false_pages: 0, per: 90d}",
        "3: budget.false_pages is 0; it must be more than 0.0",
    ),
    (
        "owner: risk-team@example.org",
        "budget: {false_pages: 1, per: 90d, min_effect: 2}",
        "3: budget.min_effect is 2; it must be at most 1.0",
    ),
    (
        "owner: risk-team@example.org",
        "budget: {per: 90d}",
        "3: missing key 'false_pages' in budget; so many on average",
    ),
    (
        "owner: risk-team@example.org",
        "name: two words",
        "3: name: 'two words' is not a name; letters, digits, '.', '_' and '-', at most 100, no spaces",
    ),
    ("owner: risk-team@example.org", "receivers: [logg]", "3: unknown receiver 'logg'; did you mean 'log'?"),
    ("owner: risk-team@example.org", "receivers: [log, log]", "3: receiver 'log' is named twice; once is enough"),
    ("owner: risk-team@example.org", "tolerance: {fails: 0}", "3: tolerance.fails is 0; it must be at least 1"),
    (
        "owner: risk-team@example.org",
        "guards: {cooldown: 1 hour}",
        "3: guards.cooldown: '1 hour' is not a duration; write a number and s, m, h, d or w, such as 5m",
    ),
    (
        "owner: risk-team@example.org",
        "owner: ${ME}",
        "3: ${ME} stands in 'owner'; only options that bear secrets may hold variables",
    ),
    ("kind: files, path: ../data/*", "kind: fils, path: ../data/*", "4: unknown source 'fils'; did you mean 'files'?"),
    ("path: ../data/*", "pth: ../data/*", "4: unknown key 'pth'; did you mean 'path'?"),
    ("path: ../data/*.parquet", "path: 7", '4: path is 7; it must be text in quotes, such as "7"'),
    ("path: ../data/*.parquet", "path: a, format: csvv", "4: format is 'csvv'; did you mean 'csv'?"),
    ("kind: files, path: ../data/*", "path: ../data/*", "4: missing key 'kind' in source; which source reads the rows"),
    (
        "kind: files, path: ../data/*.parquet",
        "kind: sql, url: sqlite://",
        "4: a sql source takes exactly one of 'table' and 'query'",
    ),
    (
        "kind: files, path: ../data/*.parquet",
        f"kind: sql, table: t, url: '{SECRET_URL}'",
        "4: a password stands in the URL; write it as ${VAR} and set VAR in the environment",
    ),
    (
        "kind: files, path: ../data/*.parquet",
        "kind: sql, table: t, url: '${NO_SUCH_URL}'",
        "4: the environment variable NO_SUCH_URL is not set; set it, or correct its name",
    ),
    (
        "kind: files, path: ../data/*.parquet",
        "kind: sql, table: t, url: '${URL:-x}'",
        "4: '${URL:-x}' is not a variable; write ${VAR}",
    ),
    (
        "path: ../data/*.parquet",
        "path: '${HOME}/x'",
        "4: ${HOME} stands in 'path'; only options that bear secrets may hold variables",
    ),
    (
        "path: ../data/*.parquet",
        "path: s3://b/x, storage_options: {key: a, secret: hunter2}",
        "4: the secret 'secret' stands in the file; write it as ${VAR} and set VAR in the environment",
    ),
    ("  event_time: at", "  evnt_time: at", "6: unknown key 'evnt_time'; did you mean 'event_time'?"),
    (
        'cron: "0 * * * *"',
        'cron: "61 * * * *"',
        "12: schedule.cron: cron '61 * * * *' has a bad minute; such as \"0 * * * *\" for every hour, in UTC",
    ),
    ('cron: "0 * * * *"', 'cron: "0 0 31 2 *"', "12: schedule.cron: cron '0 0 31 2 *' never fires; no such day exists"),
    (
        'cron: "0 * * * *"',
        'cron: "0 0 */40 * 1#5"',
        "12: schedule.cron: cron '0 0 */40 * 1#5' never fires; no such day exists",
    ),
    (
        'cron: "0 * * * *"',
        'cron: "0 0 * * * *"',
        "12: schedule.cron: cron '0 0 * * * *' has not five fields; "
        'minute hour day month weekday, such as "0 * * * *"',
    ),
    ("window: 1h", "window: 0s", "13: schedule.window: 0 is too short; at least 1s"),
    ("window: 1h", "window: 53w", "13: schedule.window: 53w is too long; at most 366d"),
    (
        "window: 1h",
        "delay: 5m",
        "11: schedule: neither 'every' nor both 'cron' and 'window' are given; such as every: 1h",
    ),
    (
        "window: 1h",
        "every: 1h",
        "11: schedule: 'every' stands beside 'cron' or 'window'; give 'every' alone, or both others",
    ),
    (
        '  cron: "0 * * * *"\n  window: 1h',
        "  every: 7h",
        "12: schedule.every: every 7h does not divide an hour or a day; give cron and window instead",
    ),
    (
        "window: 1h",
        "window: 1h\n  starts: 2026-01-01",
        "14: schedule.starts: '2026-01-01' is not a time with a zone; write it as 2026-01-01T00:00:00Z",
    ),
    ("bins: 10", "bin: 10", "16: unknown key 'bin'; did you mean 'bins'?"),
    ("bins: 10", "bins: 1e1", "16: bins is 10.0; it must be a whole number"),
    ("bins: 10", "bins: 1", "16: bins must be 2 or more, not 1"),
    ("[age]", "age", "16: columns is 'age'; it must be a list"),
    ("{drift: {max", "{drfit: {max", "17: drift does not measure 'drfit'; did you mean 'drift'?"),
    ("{drift: {max: 0.2, warn: 0.1}}", "{}", "17: limits is empty; give at least one"),
    (
        "max: 0.2, warn: 0.1",
        "warn: 0.1",
        "17: limits.drift: neither 'max' nor 'min' is given; give exactly one of them",
    ),
    ("warn: 0.1", "min: 0.1", "17: limits.drift: both 'max' and 'min' are given; give exactly one of them"),
    ("warn: 0.1", "warn: 0.3", "17: limits.drift: warn 0.3 is not below max 0.2; it must come before the limit"),
    ("max: 0.2", "max: .inf", "17: limits.drift.max is '.inf'; it must be a number"),
    ("    limits:", "    name: [a]\n    limits:", "17: name is a list; it must be text"),
    (
        "    limits:",
        "    name: blind\n    limits:",
        "17: the name 'blind' is taken by the product; give the check another 'name'",
    ),
    ("    limits:", "    min_rows: 0.5\n    limits:", "17: min_rows is 0.5; it must be a whole number"),
    (
        "    limits:",
        "    memory: 4GB\n    limits:",
        "17: memory: '4GB' is not a size; write a number and MiB or GiB, such as 512MiB, or unlimited",
    ),
    ("    limits:", "    dry_run: yes\n    limits:", "17: dry_run is 'yes'; it must be true or false"),
    (
        "  - check: drift",
        "  - check: drift\n  - check: drift",
        "16: two checks are named 'drift'; give item 2 another 'name'",
    ),
    (
        "reference: {kind: files, path: ../data/reference.parquet}\n",
        "",
        "14: drift needs a reference; say where its rows are under 'reference'",
    ),
    (
        "  - check: drift",
        "  - check: performance\n  - check: drift",
        "15: performance has no limits of its own; give 'limits'",
    ),
    ("  label: visits", "  label: visits\n  label: other", "10: key 'label' is given twice; first on line 9"),
    (
        "  window: 1h",
        "\twindow: 1h",
        "13: not YAML: found character '\\t' that cannot start any token; indent with spaces, not tabs",
    ),
    (
        "owner: risk",
        "owner: !!python/name:os.system risk",
        "3: the tag 'python/name:os.system' has no meaning here; leave it out",
    ),
    ("  event_time: at", "  7: at", "6: '7' is a key; keys are text; quote it"),
]


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES, ids=[said for _, _, said in MISTAKES])
def test_each_mistake_is_one_sentence_with_its_line(write: Write, job: str, old: str, new: str, said: str) -> None:
    assert old in job
    found = problems_of(write(insurance=job.replace(old, new, 1)))
    assert f"insurance.yaml:{said}" in found
    assert "hunter2" not in "".join(found)


def test_every_problem_of_every_file_is_said_at_once(write: Write, job: str) -> None:
    bad = job.replace("owner", "ownr").replace("max: 0.2", "max: high")
    folder = write(a=bad, b="model: [", c=job.replace("drift", "drfit", 1), d="", e="- 1", system="schema: 3\n")
    assert problems_of(folder) == [
        "system.yaml:1: schema is 3; valid: 1",
        "a.yaml:3: unknown key 'ownr'; did you mean 'owner'?",
        "a.yaml:17: limits.drift.max is 'high'; it must be a number",
        "b.yaml:1: not YAML: expected the node content, but found '<stream end>'",
        "c.yaml:15: unknown check 'drfit'; did you mean 'drift'?",
        "d.yaml:1: the file is empty; it must start with 'schema: 1'",
        "e.yaml:1: the file is not a mapping; write 'key: value' lines",
    ]


def test_a_wrong_shape_hides_no_mistake_in_another_part(write: Write, job: str) -> None:
    bad = (
        job.replace("event_time: at", "event_time: 5")
        .replace("bins: 10", "bin: 10")
        .replace("path: ../data/*.parquet", "path: '${X}'")
    )
    assert [problem.split(":")[1] for problem in problems_of(write(insurance=bad + "  - nonsense\n"))] == [
        "4",
        "6",
        "16",
        "18",
    ]


def test_one_bad_file_stops_no_good_monitor(write: Write, job: str) -> None:
    jobs, problems = load_valid(write(good=job, bad=job.replace("owner", "ownr"), ugly="a: [b"))
    assert [monitor.name for monitor in jobs.monitors] == ["good"]
    assert [problem.file for problem in problems] == ["jobs/bad.yaml", "jobs/ugly.yaml"]


def test_a_bad_receiver_stops_no_monitor_and_no_other_receiver(write: Write, job: str) -> None:
    system = "schema: 1\nreceivers:\n  a: {kind: webhook, url: 'ftp://x'}\n  b: {kind: log, level: DEBUG}\n"
    jobs, problems = load_valid(write(good=job + "receivers: [a, b]\n", system=system))
    assert jobs.monitors[0].receivers == ("a", "b")
    assert sorted(jobs.receivers) == ["b", "log"]
    assert [str(problem) for problem in problems] == [
        "jobs/system.yaml:3: a webhook's url must be http:// or https:// with a host"
    ]


def test_a_broken_system_file_makes_no_receiver_unknown(write: Write, job: str) -> None:
    found = problems_of(write(good=job + "receivers: [oncall]\n", system="receivers: {oncall: ["))
    assert len(found) == 1 and found[0].startswith("system.yaml:1: not YAML")


def test_mistakes_in_the_system_file_are_located(write: Write, job: str) -> None:
    system = """\
schema: 1
organisation: Example
receivers:
  oncall: {kind: webhok}
  two words: {kind: log}
  chat: {kind: webhook, url: "${NO_SUCH_HOOK}", secret: hunter2}
  plain: log
defaults: {receivers: [onkall]}
"""
    assert problems_of(write(good=job, system=system)) == [
        "system.yaml:2: unknown key 'organisation'; did you mean 'organization'?",
        "system.yaml:4: unknown notifier 'webhok'; did you mean 'webhook'?",
        "system.yaml:5: receivers.two words: 'two words' is not a name; "
        "letters, digits, '.', '_' and '-', at most 100, no spaces",
        "system.yaml:6: the environment variable NO_SUCH_HOOK is not set; set it, or correct its name",
        "system.yaml:6: the secret 'secret' stands in the file; write it as ${VAR} and set VAR in the environment",
        "system.yaml:7: receivers.plain is 'log'; it must be a mapping of keys to values",
        "system.yaml:8: unknown receiver 'onkall'; did you mean 'oncall'?",
    ]


def test_one_name_used_by_two_files_is_said_with_both_places(write: Write, job: str) -> None:
    folder = write(a=job, b=job.replace("schema: 1\n", "schema: 1\nname: a\n"))
    assert problems_of(folder) == ["b.yaml:2: the monitor name 'a' is already used; by jobs/a.yaml:1"]


def test_a_file_name_that_cannot_name_a_monitor_is_said(write: Write, job: str) -> None:
    assert problems_of(write(**{"my job": job})) == [
        "my job.yaml:1: the file's name: 'my job' is not a name; "
        "letters, digits, '.', '_' and '-', at most 100, no spaces; or give 'name'"
    ]


def test_labels_of_their_own_need_row_ids_and_a_label_column(write: Write, job: str) -> None:
    bad = job.replace("  row_id: id\n", "").replace("  label: visits\n", "") + "labels: {kind: files, path: x.csv}\n"
    said = "labels of their own are joined by row_id"
    assert problems_of(write(insurance=bad)) == [
        f"insurance.yaml:5: missing key 'row_id' in columns; {said}",
        f"insurance.yaml:5: missing key 'label' in columns; {said}",
    ]


def test_a_check_that_needs_labels_says_so(write: Write, job: str) -> None:
    bad = job.replace("  label: visits\n", "")
    bad += "  - check: performance\n    limits: {accuracy: {min: 0.8}}\n"
    said = "insurance.yaml:17: performance needs labels; name their column as 'label' under 'columns'"
    assert problems_of(write(insurance=bad)) == [said]


def test_the_value_of_a_secret_is_never_quoted(write: Write, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "ftp://hunter2.example.org/hunter2")
    monkeypatch.setenv("HEADER", "hunter2\n")
    system = "schema: 1\nreceivers:\n  a: {kind: webhook, url: '${HOOK}'}\n  b: {kind: webhook, url: 'https://x'"
    found = problems_of(write(good=job, system=system + ", headers: {x: '${HEADER}'}, timeout: slow}\n"))
    assert len(found) == 2
    assert "hunter2" not in "".join(found)


def test_a_missing_folder_says_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no job folder at {tmp_path}/jobs; set CONTROLPLANE_JOBS"):
        load_jobs(tmp_path / "jobs")


def test_a_folder_without_jobs_says_where_was_looked(write: Write) -> None:
    folder = write(system="schema: 1\n")
    (folder / ".hidden.yaml").write_text("half written")
    with pytest.raises(ConfigError, match=f"no jobs in {folder.absolute()}; a job is a .yaml file there"):
        load_jobs(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"schema: 1\nowner: \xff\n", "2: the file is not UTF-8 text"),
        (b"schema: 1\nowner: \x00\n", "2: not YAML: it holds the control character"),
        (b"a: " + b"[" * 1500, "1: not a job file: it is nested too deeply"),
        (b"a: &a [*a]\nschema: 1\n", "1: not a job file: an alias stands inside its own anchor"),
        (b"a: 1\n---\nb: 1\n", "2: not YAML: but found another document"),
    ],
    ids=["not utf-8", "a nul", "nested", "an alias in its anchor", "two documents"],
)
def test_a_file_that_is_no_job_at_all_is_one_sentence(write: Write, content: bytes, said: str) -> None:
    folder = write()
    (folder / "a.yaml").write_bytes(content)
    assert problems_of(folder)[0].startswith(f"a.yaml:{said}")


def test_aliases_that_multiply_are_stopped(write: Write) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    found = problems_of(write(a="\n".join(lines)))
    assert len(found) == 1 and found[0].endswith("not a job file: it holds too many values")


def test_a_folder_named_like_a_job_is_one_sentence(write: Write, job: str) -> None:
    folder = write(good=job)
    (folder / "bad.yaml").mkdir()
    assert problems_of(folder) == ["bad.yaml:1: the file cannot be read (Is a directory)"]
