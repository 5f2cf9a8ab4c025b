"""What a log looks like from outside: its columns, its folders and the names of its files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

FORMAT = 1
HOUR = timedelta(hours=1)
COLUMNS = pa.schema(
    [
        ("row_id", pa.string()),
        ("request_id", pa.string()),
        ("event_time", pa.timestamp("us", "UTC")),
        ("model_version", pa.string()),
        ("role", pa.string()),
        ("status", pa.int16()),
        ("error", pa.string()),
        ("latency_ms", pa.float64()),
        ("request_rows", pa.int32()),
        ("failed_inputs", pa.string()),
    ]
)
"""What every row says of itself and its request; inputs come next, then the answer. The inputs of a request that failed
are one JSON text in `failed_inputs`: what was refused for its type must not change the type of anybody's column."""
FAILED = 400
"""The least status of a request that failed."""

_FILE = re.compile(r"([0-9A-HJKMNP-TV-Z]{26})-(\d{12})-(\d{12})\.parquet")
_DATE, _HOUR = re.compile(r"date=(\d{4}-\d\d-\d\d)"), re.compile(r"hour=(\d\d)")


def is_answer(name: str) -> bool:
    """Whether a column of a log is what the model answered.

    >>> is_answer("prediction"), is_answer("prediction_score"), is_answer("predictions")
    (True, True, False)
    """
    return name == "prediction" or name.startswith("prediction_")


def is_reserved(name: str) -> bool:
    """Whether an input of this name has to be called otherwise in the log."""
    return name in COLUMNS.names or is_answer(name)


def arranged(names: Iterable[str]) -> list[str]:
    """The columns in the order of a log: what is reserved, the inputs, the answer."""
    given = list(dict.fromkeys(names))
    rest = [name for name in given if not is_reserved(name)]
    return [*(name for name in COLUMNS.names if name in given), *rest, *filter(is_answer, given)]


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file: of which hour, written by whom, and the first and last of the numbered batches it holds.

    A file holds every row of its hour and stream out of those batches, so that one whose numbers lie within another's
    says nothing new.
    """

    hour: datetime
    stream: str
    first: int
    last: int
    path: str
    size: int = 0

    @property
    def name(self) -> str:
        """The last part of its path."""
        return file_name(self.stream, self.first, self.last)

    def within(self, other: LogFile) -> bool:
        """Whether the other file holds all of this one."""
        same = (self.hour, self.stream) == (other.hour, other.stream)
        return same and other.first <= self.first and self.last <= other.last and self.name != other.name


def file_name(stream: str, first: int, last: int) -> str:
    """The name of a file that holds these batches of a stream.

    >>> file_name("01J00000000000000000000000", 3, 17)
    '01J00000000000000000000000-000000000003-000000000017.parquet'
    """
    return f"{stream}-{first:012d}-{last:012d}.parquet"


def folder_name(hour: datetime) -> str:
    """The folder of an hour, below the log's own.

    >>> folder_name(datetime(2026, 1, 2, 3, 30, tzinfo=UTC))
    'date=2026-01-02/hour=03'
    """
    return f"date={hour.date().isoformat()}/hour={hour.hour:02d}"


def parse_day(name: str) -> datetime | None:
    """The first moment of the day a folder is for; None where it is none of a log's."""
    found = _DATE.fullmatch(name)
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def parse_hour(day: datetime, name: str) -> datetime | None:
    """The first moment of the hour a folder in a day's folder is for; None where it is none of a log's."""
    found = _HOUR.fullmatch(name)
    return day.replace(hour=int(found[1])) if found and int(found[1]) < 24 else None


def parse_file(hour: datetime, path: str, size: int = 0) -> LogFile | None:
    """The file a path in an hour's folder names; None where it is none of a log's."""
    found = _FILE.fullmatch(path.rsplit("/", 1)[-1])
    return LogFile(hour, found[1], int(found[2]), int(found[3]), path, size) if found else None


def visible(files: Iterable[LogFile]) -> list[LogFile]:
    """The files that together hold every row once: those that no other one holds, in the order of hour and number."""
    kept: list[LogFile] = []
    for file in sorted(files, key=lambda each: (each.hour, each.stream, each.first, -each.last)):
        if not (kept and file.within(kept[-1])):
            kept.append(file)
    return kept


def reserved_as(name: str) -> str:
    """What an input is called in the log.

    >>> reserved_as("age"), reserved_as("status"), reserved_as("prediction")
    ('age', 'input_status', 'input_prediction')
    """
    return f"input_{name}" if is_reserved(name) else name
