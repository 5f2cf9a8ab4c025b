"""Streams of days in which nothing drifts: real days and weeks drawn again, and simulated ones with dependence.

Everything is a pure function of a numpy Generator. A day is a `Day` of plain arrays, which planted shifts and the peers
work on; `to_table` makes of it the Arrow table that the product is given.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.signal import lfilter
from scipy.special import ndtr

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Kind = Literal["float", "int"] | tuple[str, ...]
Rng = np.random.Generator

TIME = "at"
MONDAY = np.datetime64("2024-01-01", "us")
WEEK = 7


@dataclass(frozen=True)
class Day:
    """The rows of one day: numbers with NaN for missing, categories as codes into their labels with -1 for missing."""

    values: dict[str, Floats]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))


@dataclass(frozen=True)
class Stream:
    """A world without drift.

    `kinds` says of each column whether it holds floats, integers, or which labels. `draw(rng, days)` gives that many
    days in time order, the first of them a Monday: a reference and the windows that follow it are cut from one drawing.
    `shifted` names the columns that planted shifts use: numbers to rotate over, categories, and some to move together.
    """

    name: str
    kinds: dict[str, Kind]
    draw: Callable[[Rng, int], list[Day]]
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    together: tuple[str, ...]


def to_table(day: Day, index: int, kinds: dict[str, Kind]) -> pa.Table:
    """The day as an Arrow table whose times are spread evenly over day number `index`; day 0 is a Monday."""
    times = MONDAY + np.timedelta64(index, "D") + np.arange(len(day)) * (np.timedelta64(1, "D") // len(day))
    arrays = {TIME: pa.array(times, pa.timestamp("us", "UTC"))}
    for name, kind in kinds.items():
        values = day.values[name]
        missing = np.isnan(values)
        if kind == "float":
            arrays[name] = pa.array(values, mask=missing)
        else:
            whole = pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing)
            arrays[name] = whole if kind == "int" else _labels(kind).take(whole)
    return pa.table(arrays)


@cache
def _labels(labels: tuple[str, ...]) -> pa.Array:
    return pa.array(labels, pa.string())


def from_table(table: pa.Table, kinds: dict[str, Kind]) -> Day:
    """The inverse of `to_table`, without the times."""
    values = {}
    for name, kind in kinds.items():
        column = table[name].combine_chunks()
        if isinstance(kind, tuple):
            column = pc.index_in(pc.cast(column, pa.string()), _labels(kind))
        values[name] = pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    return Day(values)


# ---------------------------------------------------------------------------------------------------- real days


def data_folder() -> Path:
    """Where the files with real rows are: CONTROLPLANE_TEST_DATA, or shared/data beside the repository."""
    beside = Path(__file__).parents[4] / "shared" / "data"
    return Path(os.environ.get("CONTROLPLANE_TEST_DATA", beside))


def kinds_of(table: pa.Table) -> dict[str, Kind]:
    """What each column holds, by its Arrow type; booleans are categories with the labels false and true."""
    kinds: dict[str, Kind] = {}
    for field in table.schema:
        if pa.types.is_floating(field.type):
            kinds[field.name] = "float"
        elif pa.types.is_integer(field.type):
            kinds[field.name] = "int"
        else:
            found = pc.unique(pc.drop_null(pc.cast(table[field.name], pa.string()))).to_pylist()
            kinds[field.name] = tuple(sorted(found))
    return kinds


def _cut(day: Day, starts: Sequence[int]) -> list[Day]:
    edges = [*starts, len(day)]
    return [
        Day({name: values[low:high] for name, values in day.values.items()}) for low, high in itertools.pairwise(edges)
    ]


@cache
def hotel_days() -> tuple[dict[str, Kind], list[Day]]:
    """The 153 days of the reference part of hotel_booking (1 May 2016, a Sunday, to 30 September), label left out."""
    table = pq.read_table(data_folder() / "reference_hotel_booking.parquet")
    days = np.asarray(table["timestamp"].to_numpy(zero_copy_only=False), dtype="datetime64[D]")
    kinds = kinds_of(table.drop_columns(["Index", "timestamp", "is_canceled"]))
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1).astype(int))
    return kinds, _cut(from_table(table, kinds), starts.tolist())


@cache
def car_days(rows: int = 500) -> tuple[dict[str, Kind], list[Day]]:
    """The reference part of car_loan in made-up days of equal length, label left out."""
    table = pq.read_table(data_folder() / "reference_synthetic_car_loan.parquet")
    kinds = kinds_of(table.drop_columns(["timestamp", "repaid"]))
    return kinds, _cut(from_table(table, kinds), range(0, len(table), rows))


def hotel() -> Stream:
    """Days of hotel_booking, each drawn anew with replacement."""
    kinds, pool = hotel_days()
    return _hotel("hotel days", kinds, lambda rng, days: [pool[i] for i in rng.integers(len(pool), size=days)])


def hotel_weeks() -> Stream:
    """Weeks of hotel_booking, Monday to Sunday, drawn with replacement: season and dependence within a week stay."""
    kinds, pool = hotel_days()
    pool = pool[1:]
    weeks = len(pool) // WEEK

    def draw(rng: Rng, days: int) -> list[Day]:
        drawn = rng.integers(weeks, size=-(-days // WEEK))
        return [pool[WEEK * week + weekday] for week in drawn for weekday in range(WEEK)][:days]

    return _hotel("hotel weeks", kinds, draw)


def _hotel(name: str, kinds: dict[str, Kind], draw: Callable[[Rng, int], list[Day]]) -> Stream:
    together = ("adr", "lead_time", "stays_in_week_nights", "total_of_special_requests")
    return Stream(name, kinds, draw, ("adr", "lead_time"), ("market_segment", "customer_type", "hotel"), together)


def car_loan() -> Stream:
    """Days of 500 rows of car_loan, drawn with replacement."""
    kinds, pool = car_days()
    numbers = ("debt_to_income_ratio", "driver_tenure", "car_value")
    categories = ("salary_range", "size_of_downpayment")
    return Stream(
        "car_loan days",
        kinds,
        lambda rng, days: [pool[i] for i in rng.integers(len(pool), size=days)],
        numbers,
        categories,
        (*numbers, "loan_length"),
    )


# ---------------------------------------------------------------------------------------------- simulated days

SIMULATED: dict[str, Kind] = {
    "normal": "float",
    "skewed": "float",
    "heavy": "float",
    "count": "int",
    "share": "float",
    "holes": "float",
    "three": ("a", "b", "c"),
    "two": ("no", "yes"),
    "eight": tuple("abcdefgh"),
}
CUTS = {
    "three": np.array([0.0, 1.0]),
    "two": np.array([0.8]),
    "eight": np.array([-1.5, -1.0, -0.5, 0.0, 0.6, 1.2, 1.9]),
}


def simulated(
    name: str, rows_phi: float = 0.0, day_sd: float = 0.0, days_phi: float = 0.0, weekly: bool = False, rows: int = 200
) -> Stream:
    """Nine columns made from Gaussians with mean 0 and variance 1.

    `rows_phi` is the autocorrelation of one row with the next in its day; `day_sd` the standard deviation of what a
    whole day has in common, half of it shared by all columns, with autocorrelation `days_phi` from day to day. With
    `weekly`, weekends have 0.6 of the rows, and half of the columns are then higher by 0.5 and wider by a fifth.
    """

    def draw(rng: Rng, days: int) -> list[Day]:
        names = [*SIMULATED, "gone"]
        noise = _ar(rng.standard_normal((days, len(names), rows)), rows_phi)
        own, common = (_ar(rng.standard_normal((size, days)), days_phi) for size in (len(names), 1))
        effects = day_sd * np.sqrt(0.5) * (own + common).T[:, :, None]
        latent = np.sqrt(1 - day_sd**2) * noise + effects
        if weekly:
            weekend = np.arange(days) % WEEK >= 5
            latent[weekend, ::2] = 1.2 * latent[weekend, ::2] + 0.5
        made = []
        for index in range(days):
            size = round(0.6 * rows) if weekly and index % WEEK >= 5 else rows
            made.append(_columns(dict(zip(names, latent[index, :, :size], strict=True))))
        return made

    return Stream(name, SIMULATED, draw, ("normal", "skewed", "share"), ("three", "two", "eight"), tuple(SIMULATED)[:4])


def _ar(noise: Floats, phi: float) -> Floats:
    """The stationary AR(1) series with unit variance along the last axis."""
    if phi == 0:
        return noise
    scale = np.sqrt(1 - phi**2)
    filtered, _ = lfilter([scale], [1, -phi], noise, axis=-1, zi=(1 - scale) * noise[..., :1])
    return np.asarray(filtered)


def _columns(latent: dict[str, Floats]) -> Day:
    heavy = latent["heavy"]
    values = {
        "normal": 10 + 2 * latent["normal"],
        "skewed": np.exp(0.5 * latent["skewed"]),
        "heavy": np.sign(heavy) * np.abs(heavy) ** 1.5,
        "count": np.floor(np.exp(1 + 0.6 * latent["count"])),
        "share": ndtr(latent["share"]),
        "holes": np.where(latent["gone"] > 1.88, np.nan, latent["holes"]),
    }
    for name, cuts in CUTS.items():
        values[name] = np.searchsorted(cuts, latent[name]).astype(np.float64)
    return Day(values)


STREAMS: dict[str, Callable[[], Stream]] = {
    "hotel days": hotel,
    "hotel weeks": hotel_weeks,
    "car_loan days": car_loan,
    "dependent rows": lambda: simulated("dependent rows", rows_phi=0.8),
    "dependent days": lambda: simulated("dependent days", day_sd=0.15, days_phi=0.5),
    "weekly season": lambda: simulated("weekly season", day_sd=0.05, weekly=True),
}


def available() -> tuple[dict[str, Stream], list[str]]:
    """The streams that can be drawn here, and one line for each that cannot."""
    streams, skipped = {}, []
    for name, make in STREAMS.items():
        try:
            streams[name] = make()
        except FileNotFoundError:
            skipped.append(f"{name}: skipped, its file is not in shared/data nor where CONTROLPLANE_TEST_DATA says")
    return streams, skipped
