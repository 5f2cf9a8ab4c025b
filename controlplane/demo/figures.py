"""What a run under load comes to: pure arithmetic on the answers that the people who asked wrote down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from controlplane.errors import ControlPlaneError
from controlplane.profiles.intervals import wilson

MOST_SECONDS = 10.0
FEWEST = 50
"""Answers of a version in a bin below which its accuracy there is not shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it was due (Unix seconds), how long it took, what came back, and what became of the matter.

    `sound` says that the answer bears the request's own id and is what the version in its header really answers.
    """

    id: str
    due: float
    seconds: float
    status: int
    version: str
    answer: int | None
    label: int
    sound: bool

    @property
    def at(self) -> float:
        """When it was answered."""
        return self.due + self.seconds

    @property
    def failed(self) -> bool:
        """Whether the person who asked went without a sound answer."""
        return self.status != 200 or not self.sound


@dataclass(frozen=True, slots=True)
class Moments:
    """When what happened, in Unix seconds: a release, the end of the window it spoilt, its arrival, the move back."""

    released: float
    window_ends: float
    arrived: float
    moved: float


def read_answers(lines: Iterable[str]) -> list[Answer]:
    """The answers in the order they were due; raises ControlPlaneError that names the line that is none."""
    found = []
    for number, line in enumerate(lines, 1):
        try:
            answer = Answer(**json.loads(line))
            answer.at + answer.status + answer.label
        except (ValueError, TypeError) as error:
            raise ControlPlaneError(f"line {number} of the answers is none: {error}") from None
        found.append(answer)
    return sorted(found, key=lambda answer: answer.due)


def good_from(answers: Sequence[Answer], good: str) -> float:
    """The moment after which every answer came from the version `good`; raises ControlPlaneError where there is none.

    It is when the last other answer, or failure, came back.
    """
    others = [answer.at for answer in answers if answer.version != good or answer.failed]
    after = max(others, default=0.0)
    if not any(answer.at > after for answer in answers):
        raise ControlPlaneError(f"version {good} did not answer all requests again")
    return after


def figures(answers: Sequence[Answer], logged: Mapping[str, int], good: str, when: Moments) -> dict[str, Any]:
    """All that is measured of a run, as plain values.

    `logged` says how many rows of the inference log bear each request's id.
    """
    asked = Counter(answer.id for answer in answers)
    back = good_from(answers, good)
    versions = Counter(answer.version for answer in answers if not answer.failed)
    milliseconds = [1000 * answer.seconds for answer in answers]
    spoilt = [a for a in answers if when.released <= a.at <= back and a.version not in ("", good)]
    return {
        "requests": len(answers),
        "failed": sum(answer.failed for answer in answers),
        "answered_twice": sum(times > 1 for times in asked.values()) + sum(logged[id] > 1 for id in logged),
        "not_logged": sum(logged.get(id, 0) == 0 for id in asked),
        "logged": sum(logged.values()),
        "by_version": dict(sorted(versions.items())),
        "accuracy": {version: accuracy(answers, version) for version in sorted(versions)},
        "seconds_to_alias_moved": when.moved - when.arrived,
        "seconds_to_all_traffic_good": back - when.arrived,
        "seconds_from_window_end": back - when.window_ends,
        "seconds_bad_version_answered": back - min((answer.at for answer in spoilt), default=back),
        "answers_of_bad_version": len(spoilt),
        "latency_ms": {f"p{q}": float(np.percentile(milliseconds, q)) for q in (50, 99)} | {"max": max(milliseconds)},
        "good_from": back,
    }


def accuracy(answers: Iterable[Answer], version: str | None = None) -> dict[str, Any]:
    """The share of right answers with its 95 % interval, of one version or of all."""
    judged = [each.answer == each.label for each in answers if not each.failed and version in (None, each.version)]
    share = wilson(sum(judged), len(judged))
    return {"share": share.estimate, "low": share.low, "high": share.high, "n": share.n}


def broken(found: Mapping[str, Any]) -> list[str]:
    """Which promises the figures break, each as a sentence; none where all are kept."""
    said = []
    if found["failed"]:
        said.append(f"{found['failed']} of {found['requests']} requests failed; promised: none")
    if found["answered_twice"]:
        said.append(f"{found['answered_twice']} requests were answered twice; promised: none")
    if found["seconds_to_all_traffic_good"] > MOST_SECONDS:
        took = f"{found['seconds_to_all_traffic_good']:.1f} s"
        said.append(f"all traffic was good again {took} after the bad window's arrival; promised: {MOST_SECONDS:g} s")
    return said


@dataclass(frozen=True, slots=True)
class Bins:
    """The run cut into stretches of `width` seconds: their middles since the start, and what happened in each.

    `share` and `accuracy` have a row a version, the latter of shares, lows and highs. NaN stands where nothing was
    answered, or too little.
    """

    width: float
    versions: tuple[str, ...]
    seconds: np.ndarray
    answers: np.ndarray
    share: np.ndarray
    errors: np.ndarray
    accuracy: np.ndarray

    @property
    def rate(self) -> np.ndarray:
        """Answers a second."""
        return self.answers / self.width

    def led(self) -> list[str]:
        """The version that gave the most answers of each bin; empty where there were none."""
        most = np.nan_to_num(self.share).argmax(axis=0) if self.versions else []
        return [self.versions[version] if n else "" for version, n in zip(most, self.answers, strict=True)]


def cut(answers: Sequence[Answer], start: float, end: float, width: float) -> Bins:
    """Count answers by when they came back, in whole bins of `width` seconds from `start` on."""
    count = int((end - start) / width)
    if count < 1:
        raise ControlPlaneError(f"{end - start:.1f} s of answers are no bin of {width:g} s")
    versions = tuple(sorted({answer.version for answer in answers} - {""}))
    places: list[list[Answer]] = [[] for _ in range(count)]
    for answer in answers:
        place = int((answer.at - start) // width)
        if 0 <= place < count:
            places[place].append(answer)

    def share_of(true: Callable[[Answer], bool]) -> list[float]:
        return [sum(map(true, here)) / len(here) if here else float("nan") for here in places]

    def share_by(version: str) -> list[float]:
        return share_of(lambda answer: answer.version == version)

    return Bins(
        width,
        versions,
        (np.arange(count) + 0.5) * width,
        np.array([len(here) for here in places]),
        np.array([share_by(version) for version in versions]),
        np.array(share_of(lambda answer: answer.failed)),
        np.array([[_spread(accuracy(here, version)) for here in places] for version in versions]),
    )


def _spread(found: Mapping[str, Any]) -> list[float]:
    return [found[key] if found["n"] >= FEWEST else float("nan") for key in ("share", "low", "high")]
