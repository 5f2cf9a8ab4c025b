"""Where a log lies: a local folder or any fsspec URL, with files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from controlplane.log.layout import HOUR, LogFile, folder_name, parse_day, parse_file, parse_hour

# A reader that listed a file just before it was merged still finds it for so long.
KEPT = timedelta(minutes=10)
_ASIDE = re.compile(r"\.(.+\.parquet)\.(old|tmp)")


class Folder:
    """A log's own folder. Errors are those of the file system."""

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.system, root = fsspec.core.url_to_fs(url, **(storage_options or {}))
        self.root = root.rstrip("/")
        self._local = type(self.system) is LocalFileSystem

    def hours(self, start: datetime | None = None, end: datetime | None = None) -> Iterator[datetime]:
        """The hours that have a folder, in order: those that hold any of `start <= event_time < end`."""
        for day in sorted(filter(None, map(parse_day, self._names(self.root)))):
            if (end is not None and day >= end) or (start is not None and day + timedelta(days=1) <= start):
                continue
            for hour in sorted(filter(None, (parse_hour(day, name) for name in self._names(self._day(day))))):
                if (end is None or hour < end) and (start is None or hour + HOUR > start):
                    yield hour

    def files(self, hour: datetime) -> list[LogFile]:
        """Every file of an hour, those that another one holds among them."""
        entries = self._entries(self._path(hour))
        while self._local and entries != (entries := self._entries(self._path(hour))):
            # A folder that is read while files are merged may show neither those nor the one they became.
            pass
        return [file for path, size in entries if (file := parse_file(hour, path, size)) is not None]

    def open(self, file: LogFile) -> BinaryIO:
        """A file to read, also while it is being merged into another one."""
        try:
            return self._open(file.path)
        except FileNotFoundError:
            return self._open(_aside(file.path, "old"))

    def put(self, hour: datetime, name: str, write: Callable[[BinaryIO], None]) -> LogFile:
        """Write a file of an hour; once this returns it is there whole, and it outlives a loss of power."""
        path = f"{self._path(hour)}/{name}"
        if self._local:
            self._put_local(path, write)
        else:
            with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
                write(file)  # type: ignore[arg-type]
                file.flush()
                self._send(file.name, path)
        found = parse_file(hour, path)
        assert found is not None
        return found

    def _put_local(self, path: str, write: Callable[[BinaryIO], None]) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        aside = _aside(path, "tmp")
        try:
            with open(aside, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        except BaseException:
            with suppress(OSError):
                os.remove(aside)
            raise
        # Not every file system can; the file's name is there in any case.
        with suppress(OSError):
            folder = os.open(os.path.dirname(path), os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _send(self, local: str, path: str) -> None:
        self.system.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            self.system.put_file(local, path)
        except BaseException:
            # What may have arrived of it will come again under a longer name.
            with suppress(Exception):
                self.system.rm_file(path)
            raise

    def retire(self, file: LogFile) -> None:
        """Put a file aside that another one holds; `sweep` removes it once nobody can be reading it any more."""
        aside = _aside(file.path, "old")
        with suppress(FileNotFoundError):
            self.system.mv(file.path, aside)
            if self._local:
                os.utime(aside)

    def remove(self, file: LogFile) -> None:
        """Remove a file."""
        with suppress(FileNotFoundError):
            self.system.rm_file(file.path)

    def sweep(self, hour: datetime, now: datetime) -> None:
        """Remove what was put aside in an hour's folder longer ago than a reader may take."""
        for path in self._aside(hour):
            with suppress(FileNotFoundError):
                if _utc(self.system.modified(path)) + KEPT < now:
                    self.system.rm_file(path)

    def clear(self, hour: datetime) -> int:
        """Remove every file of an hour and whatever was put aside there; how many files that were."""
        files = self.files(hour)
        for file in files:
            self.remove(file)
        for path in self._aside(hour):
            with suppress(FileNotFoundError):
                self.system.rm_file(path)
        for folder in (self._path(hour), self._day(hour)):
            # Whatever else lies there is not ours, and keeps its folder.
            with suppress(OSError):
                self.system.rmdir(folder)
        return len(files)

    def _open(self, path: str) -> BinaryIO:
        # Arrow's own files save a copy of every byte.
        opened: BinaryIO = pa.OSFile(path, "rb") if self._local else self.system.open(path, "rb")
        return opened

    def _aside(self, hour: datetime) -> list[str]:
        paths = [path for path, _ in self._entries(self._path(hour))]
        found = [(path, _ASIDE.fullmatch(path.rsplit("/", 1)[-1])) for path in paths]
        return [path for path, match in found if match and parse_file(hour, match[1])]

    def _day(self, hour: datetime) -> str:
        return self._path(hour).rpartition("/")[0]

    def _path(self, hour: datetime) -> str:
        return f"{self.root}/{folder_name(hour)}"

    def _names(self, path: str) -> list[str]:
        return [found.rsplit("/", 1)[-1] for found, _ in self._entries(path)]

    def _entries(self, path: str) -> list[tuple[str, int]]:
        self.system.invalidate_cache()
        try:
            found = self.system.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [(each["name"].rstrip("/"), each.get("size") or 0) for each in found]


def _aside(path: str, why: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.{why}"


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
