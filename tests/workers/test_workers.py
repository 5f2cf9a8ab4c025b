"""Each task is alone in its child: whatever it does there ends as its own sentence and costs nobody else anything."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
import worker_subjects as subjects

from controlplane.workers import Result, Task, Workers


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2) as shared:
        yield shared


def error_of(workers: Workers, task: Task) -> str:
    (result,) = workers.measure_all([task])
    assert result.value is None and result.blind is None
    return result.error


def appeared(path: Path) -> str:
    """What another process wrote into `path`, as soon as it is there."""
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path.name} was never written"
        select.select([], [], [], 0.02)
    return path.read_text()


def ended(pids: list[int]) -> bool:
    """Whether all of these processes end within ten seconds (a zombie has ended)."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(running(pid) for pid in pids):
            return True
        select.select([], [], [], 0.02)
    return False


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_results_come_back_in_the_order_of_the_tasks(workers: Workers) -> None:
    results = workers.measure_all([Task(subjects.double, (number,)) for number in range(20)])
    assert [result.value for result in results] == [2 * number for number in range(20)]
    assert not any(result.error or result.blind for result in results)


def test_no_process_starts_before_the_first_task() -> None:
    with Workers(2) as idle:
        assert idle._threads == []


def test_children_stay_warm() -> None:
    with Workers(1) as one:
        pids = {result.value for result in one.measure_all([Task(subjects.pid)] * 5)}
    assert len(pids) == 1 and os.getpid() not in pids


def test_a_raised_exception_is_one_sentence(workers: Workers) -> None:
    assert error_of(workers, Task(subjects.fail, ("first line\nsecond",))) == "raised ValueError: first line second"


def test_an_error_of_the_product_speaks_for_itself(workers: Workers) -> None:
    assert error_of(workers, Task(subjects.cannot_check)) == "column 'age' is text, and a mean needs numbers"


def test_not_enough_data_comes_back_as_itself(workers: Workers) -> None:
    (result,) = workers.measure_all([Task(subjects.too_few)])
    assert result.error == "" and result.blind is not None
    assert (str(result.blind), result.blind.n, result.blind.needed) == ("12 rows, at least 30 are needed", 12, 30)


def test_an_exception_that_can_neither_be_pickled_nor_printed_is_a_sentence(workers: Workers) -> None:
    assert error_of(workers, Task(subjects.fail_oddly)) == "raised Odd"


def test_sys_exit_is_an_error_of_its_task(workers: Workers) -> None:
    assert error_of(workers, Task(subjects.quit_politely)) == "raised SystemExit: enough"


def test_a_value_that_cannot_be_pickled_is_a_sentence(workers: Workers) -> None:
    assert "returned a function that cannot be sent back" in error_of(workers, Task(subjects.return_a_lambda))


def test_a_value_that_cannot_be_read_here_is_a_sentence(workers: Workers) -> None:
    assert "no_such_module_anywhere" in error_of(workers, Task(subjects.return_unreadable))


def test_arguments_that_cannot_be_sent_or_loaded_are_sentences(workers: Workers) -> None:
    assert "cannot be sent to a worker" in error_of(workers, Task(subjects.take, (lambda: None,)))
    assert "cannot be loaded in a worker" in error_of(workers, Task(subjects.take, (subjects.Unreadable(),)))


def test_megabytes_go_there_and_back(workers: Workers) -> None:
    blob = bytes(range(256)) * 2**15
    (result,) = workers.measure_all([Task(subjects.take, (blob,))])
    assert result.value == blob


def test_a_hung_task_that_ignores_sigterm_is_killed_at_its_limit(workers: Workers) -> None:
    started = time.monotonic()
    error = error_of(workers, Task(subjects.hang, timeout=0.3))
    assert error == "did not end within its limit of 0.3 s and was killed"
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Task(subjects.leave, (3,)), "its process ended with exit code 3"),
        (Task(subjects.leave, (0,)), "its process ended with exit code 0"),
        (Task(subjects.kill_self), "its process was killed by SIGKILL"),
        (Task(subjects.segfault), "its process was killed by SIGSEGV"),
        (Task(subjects.segfault, memory=512), "its process was killed by SIGSEGV (its memory limit was 512 MiB)"),
    ],
)
def test_a_task_that_kills_its_process_says_how_it_ended(workers: Workers, task: Task, said: str) -> None:
    assert error_of(workers, task) == said


def test_a_task_past_its_memory_limit_is_a_sentence_and_the_limit_ends_with_it() -> None:
    with Workers(1) as one:
        first, second = one.measure_all([Task(subjects.eat, (400,), memory=100), Task(subjects.eat, (400,))])
        within = one.measure_all([Task(subjects.eat, (50,), memory=100), Task(subjects.eat, (400,))])
    assert first.error == "needed more than its memory limit of 100 MiB"
    assert second.value == 400 * 2**20
    assert [result.error for result in within] == ["", ""]


def test_siblings_in_flight_are_unharmed_by_every_kind_of_death(tmp_path: Path) -> None:
    bad = [
        Task(subjects.hang, timeout=0.2),
        Task(subjects.leave, (0,)),
        Task(subjects.kill_self),
        Task(subjects.segfault),
        Task(subjects.eat, (400,), memory=50),
        Task(subjects.return_unreadable),
        Task(subjects.take, (subjects.Unreadable(),)),
    ]
    gate = tmp_path / "gate"
    with Workers(2) as two:
        sibling = two.submit(subjects.slowly, str(gate), timeout=30)
        appeared(tmp_path / "gate.started")
        results = two.measure_all(bad)
        assert not sibling.done()
        gate.touch()
        assert sibling.result().value == "unharmed"
    assert all(result.error for result in results)


def test_the_wait_for_a_free_child_is_not_counted(tmp_path: Path) -> None:
    with Workers(1) as one:
        first, second = one.measure_all([Task(subjects.hang, timeout=0.8), Task(subjects.double, (1,), timeout=0.5)])
    assert "0.8 s" in first.error
    assert second.value == 2 and second.seconds < 0.5


def test_a_killed_or_dead_task_takes_its_grandchildren_along(workers: Workers, tmp_path: Path) -> None:
    hung, dead = tmp_path / "hung", tmp_path / "dead"
    error_of(workers, Task(subjects.hang_with_grandchild, (str(hung),), timeout=1))
    error_of(workers, Task(subjects.die_with_grandchild, (str(dead),)))
    assert ended([int(pid) for pid in f"{appeared(hung)} {appeared(dead)}".split()])


def test_children_and_grandchildren_die_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, subjects.__file__, "parent", str(tmp_path)])
    pids = [int(pid) for name in "ab" for pid in appeared(tmp_path / name).split()]
    assert len(pids) == 4 and all(running(pid) for pid in pids)
    parent.kill()
    parent.wait()
    assert ended(pids)


def test_ctrl_c_at_a_terminal_sprays_no_tracebacks(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, subjects.__file__, "interrupted", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(pid) for name in "ab" for pid in appeared(tmp_path / name).split()]
    os.killpg(parent.pid, signal.SIGINT)
    out, err = parent.communicate(timeout=20)
    assert (out, err, parent.returncode) == ("interrupted\n", "", 0)
    assert ended(pids)


def test_an_idle_child_that_was_killed_costs_the_next_task_nothing() -> None:
    with Workers(1) as one:
        (first,) = one.measure_all([Task(subjects.pid)])
        os.kill(first.value, signal.SIGKILL)
        # A zombie is not enough: its other threads may still hold its pipe open.
        deadline = time.monotonic() + 10
        while Path(f"/proc/{first.value}").exists():
            assert time.monotonic() < deadline
            select.select([], [], [], 0.02)
        (second,) = one.measure_all([Task(subjects.pid)])
    assert second.error == "" and second.value != first.value


def test_noise_of_a_child_stays_there_and_its_telemetry_is_off(
    workers: Workers, capfd: pytest.CaptureFixture[str]
) -> None:
    (result,) = workers.measure_all([Task(subjects.shout)])
    assert result == Result("1truetrue", seconds=result.seconds)
    assert capfd.readouterr() == ("", "")


def test_children_see_the_environment_of_the_time_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTROLPLANE_TEST_VARIABLE", "late")
    with Workers(1) as one:
        assert one.measure_all([Task(subjects.read_variable, ("CONTROLPLANE_TEST_VARIABLE",))])[0].value == "late"


def test_a_module_to_preload_that_is_not_installed_is_no_obstacle() -> None:
    with Workers(1, preload=("no_such_module_anywhere",)) as one:
        assert one.measure_all([Task(subjects.double, (4,))])[0].value == 8


def test_stop_kills_what_runs_and_cancels_what_waits(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with Workers(1) as one:
        running_task = one.submit(subjects.hang_with_grandchild, str(pids), timeout=600)
        waiting = one.submit(subjects.double, 1)
        seen = [int(pid) for pid in appeared(pids).split()]
        one.stop()
        assert running_task.result().error == "was stopped before it ended"
        with pytest.raises(CancelledError):
            waiting.result()
        assert ended(seen)
        with pytest.raises(RuntimeError, match="stopped"):
            one.submit(subjects.double, 1)


def test_stop_lets_running_tasks_end_within_its_grace(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    one = Workers(1)
    future = one.submit(subjects.slowly, str(gate))
    appeared(tmp_path / "gate.started")
    threading.Timer(0.2, gate.touch).start()
    one.stop(grace=20)
    assert future.result().value == "unharmed"
