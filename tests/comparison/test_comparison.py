"""cp.compare: the same answer from every kind of table, ranked, as text, HTML, a frame and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp

import controlplane as cp


def tables(n: int = 2000, m: int = 900) -> tuple[pa.Table, pa.Table]:
    """Ages older by 12, more people booking online, a fifth without a price, and a score that did not move."""
    rng = np.random.default_rng(0)

    def draw(size: int, years: float, online: float, gone: float) -> pa.Table:
        price = rng.normal(100, 20, size)
        return pa.table(
            {
                "score": rng.normal(size=size),
                "age": rng.normal(30 + years, 12, size),
                "price": pa.array(price, mask=rng.random(size) < gone),
                "channel": rng.choice(["Online TA", "Desk", "Phone"], size, p=[online, 0.9 - online, 0.1]),
                "member": rng.random(size) < 0.4,
            }
        )

    return draw(n, 0, 0.46, 0.01), draw(m, 12, 0.71, 0.2)


BEFORE, AFTER = tables()


def polars_of(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


IN_MEMORY: dict[str, Callable[[pa.Table], Any]] = {
    "pandas": pa.Table.to_pandas,
    "polars": polars_of,
    "arrow table": lambda table: table,
    "arrow batch": lambda table: table.combine_chunks().to_batches()[0],
    "arrow batches": lambda table: table.to_batches(max_chunksize=250),
    "arrow reader": pa.Table.to_reader,
}


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_every_kind_of_table_in_memory_gives_the_same_comparison(kind: str) -> None:
    expected = cp.compare(BEFORE, AFTER)
    found = cp.compare(IN_MEMORY[kind](BEFORE), IN_MEMORY[kind](AFTER))
    assert found.exact and str(found) == str(expected)
    for one, two in zip(found, expected, strict=True):
        assert {name: figure.estimate for name, figure in one.statistics.items()} == pytest.approx(
            {name: figure.estimate for name, figure in two.statistics.items()}
        )


def test_what_moved_is_told_largest_first() -> None:
    found = cp.compare(BEFORE, AFTER)
    assert [row.column for row in found][:3] == ["age", "channel", "price"]
    assert re.fullmatch(r"mean 30(\.\d)? -> 4[12](\.\d)? \(\+(0\.9\d?|1|1\.1) sd\)", found["age"].moved)
    assert re.fullmatch(r"share of 'Online TA' 4\d % -> (69|7\d) %", found["channel"].moved)
    assert re.fullmatch(r"(19|20|21) % missing, before \d(\.\d)? %", found["price"].moved)
    assert found["price"].statistic == "missing" and found["score"].sure == 0
    assert [row.sure for row in found] == sorted((row.sure for row in found), reverse=True)


def test_in_memory_the_figures_are_exact() -> None:
    row = cp.compare(BEFORE, AFTER)["age"]
    exact = ks_2samp(BEFORE["age"].to_numpy(), AFTER["age"].to_numpy())
    assert row.figure is not None and row.figure.hidden == 0
    assert (row.figure.estimate, row.figure.p_value) == pytest.approx((exact.statistic, exact.pvalue))
    assert (row.n_reference, row.n_current) == (2000, 900)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Both tables as one Parquet file, as a folder of them and as CSV."""
    for name, table in (("before", BEFORE), ("after", AFTER)):
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=300)
        table.to_pandas().to_csv(tmp_path / f"{name}.csv", index=False)
        (tmp_path / name).mkdir()
        for part in range(3):
            start = part * (len(table) // 3)
            share = table.slice(start) if part == 2 else table.slice(start, len(table) // 3)
            pq.write_table(share, tmp_path / name / f"{part}.parquet")
    return tmp_path


@pytest.mark.parametrize("name", ["{}.parquet", "{}.csv", "{}", "{}/*.parquet"])
def test_paths_are_streamed_and_say_what_bins_hide(files: Path, name: str) -> None:
    before, after = (str(files / name.format(side)) for side in ("before", "after"))
    found, exact = cp.compare(before, after), cp.compare(BEFORE, AFTER)
    assert not found.exact and (found.n_reference, found.n_current) == (exact.n_reference, exact.n_current)
    for row in found:
        for statistic in ("ks", "wasserstein"):
            if statistic in row.statistics:
                binned, figure = row.statistics[statistic], exact[row.column].statistics[statistic]
                assert binned.estimate - 1e-9 <= figure.estimate <= binned.estimate + binned.hidden + 1e-9
    assert [row.column for row in found][:3] == [row.column for row in exact][:3]
    assert "+e: counted in bins" in str(found) and "+e" not in str(exact)


def test_a_path_and_a_table_can_be_compared(files: Path) -> None:
    found = cp.compare(files / "before.parquet", polars_of(AFTER))
    assert found["age"].moved == cp.compare(BEFORE, AFTER)["age"].moved and not found.exact


def test_only_the_columns_that_were_asked_for(files: Path) -> None:
    assert {row.column for row in cp.compare(BEFORE, AFTER, ["age", "member"])} == {"age", "member"}
    assert [row.column for row in cp.compare(BEFORE, AFTER, "age")] == ["age"]
    paths = files / "before.csv", files / "after.csv"
    assert {row.column for row in cp.compare(*paths, columns=["age", "member"])} == {"age", "member"}


def test_a_table_in_the_terminal_is_aligned() -> None:
    found = cp.compare(BEFORE, AFTER)
    lines = str(found).splitlines()
    assert lines[0] == "900 rows against 2,000 of the reference, 5 columns" and repr(found) == str(found)
    head = next(line for line in lines if line.startswith("column"))
    for line in lines[lines.index(head) + 1 :]:
        assert line[head.index("what moved") - 1] == " " and line[head.index("statistic") - 1] == " "
    assert re.search(r"ks 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", str(found))
    assert len(max(lines, key=len)) <= 160


def test_names_and_values_cannot_write_into_a_terminal_or_a_page() -> None:
    name, value = "<script>x\x1b[31m\n", "<b>&\x1b]0;"
    before, after = pa.table({name: ["a", value] * 50}), pa.table({name: [value] * 80})
    found = cp.compare(before, after)
    assert "\x1b" not in str(found) and len(str(found).splitlines()) == 4
    page = found._repr_html_()
    assert "<script>" not in page and "<b>" not in page and "&lt;script&gt;" in page and "\x1b" not in page


def test_the_page_is_well_formed() -> None:
    class Balance(HTMLParser):
        open: list[str]

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    parser = Balance()
    parser.open = []
    page = cp.compare(BEFORE, AFTER)._repr_html_()
    parser.feed(page)
    assert parser.open == [] and page.count("<tr>") == 6


def test_a_frame_holds_one_row_a_column() -> None:
    frame = cp.compare(BEFORE, AFTER).to_frame()
    assert isinstance(frame, pd.DataFrame) and len(frame) == 5
    by_name = frame.set_index("column")
    assert by_name.loc["age", "estimate"] == by_name.loc["age", "ks"] and np.isnan(by_name.loc["channel", "ks"])
    assert by_name.loc["price", "statistic"] == "missing" and 0.15 < by_name.loc["price", "estimate"] < 0.25


def test_json_holds_everything_and_no_nan() -> None:
    told = json.loads(cp.compare(BEFORE, AFTER).to_json(), parse_constant=lambda word: pytest.fail(word))
    assert told["format"] == "controlplane-comparison-1" and told["exact"] is True
    age = next(column for column in told["columns"] if column["column"] == "age")
    assert set(age["statistics"]) == {"missing", "ks", "wasserstein", "total_variation", "jensen_shannon", "psi"}
    assert age["figure"] == age["statistics"]["ks"] and age["outcome"] == "compared"
    nothing = cp.compare(pa.table({"x": [1.0], "y": [1]}), pa.table({"x": [float("inf")], "y": [1]}))
    assert json.loads(nothing.to_json(indent=1))["columns"][0]["outcome"] == "compared"


def test_rows_are_a_frozen_sequence() -> None:
    found = cp.compare(BEFORE, AFTER)
    assert len(found) == 5 and found[0] is next(iter(found)) and found[-1] is found[4]
    assert found[:2] == (found[0], found[1]) and found["age"].column == "age"
    first: Any = found[0]
    with pytest.raises(FrozenInstanceError):
        first.moved = ""
    with pytest.raises(KeyError):
        found["nobody"]


def test_five_thousand_columns_are_cut_in_print_only() -> None:
    wide = pa.table({f"c{index}": [1.0, 2.0] for index in range(5000)})
    found = cp.compare(wide, wide)
    assert "... and 4,940 columns more" in str(found) and "... and 4,800 columns more" in found._repr_html_()
    assert len(found) == len(found.to_frame()) == 5000
