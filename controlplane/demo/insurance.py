"""The demo's tabular task: who sees a doctor at all in a year, on the RAND Health Insurance Experiment.

The data are real: 20,190 person-years with nine features and the number of outpatient visits, shipped with
statsmodels (`randhie`; RAND Corporation, public use file). They carry no person id and no time. Rows that follow each
other with the same diseases and limitation are one person's years, and 86 % of the feature rows occur more than once,
so the split keeps both together: no feature row and no such person of the held-out half was ever trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NAME = "insurance"
FEATURES = ("lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp")
LABEL = "any_visit"
# With seeds 0 to 3, version 2's accuracy on held-out rows is 0.54, 0.59, 0.50 and 0.49; version 1's is 0.72 or 0.73.
SEED = 2
WINDOW_ROWS = 600
REFERENCE_ROWS = 3_000
TRUSTED = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows to train on, labelled reference rows, and the rows that production will send; disjoint."""

    train: pa.Table
    reference: pa.Table
    stream: pa.Table


def people() -> pa.Table:
    """All 20,190 person-years: `id`, the nine features as doubles, and the label (1: at least one visit)."""
    from statsmodels.datasets import randhie

    frame = randhie.load_pandas().data
    columns: dict[str, Any] = {"id": [f"rand-{row:05d}" for row in range(len(frame))]}
    columns |= {name: frame[name].to_numpy(np.float64) for name in FEATURES}
    columns[LABEL] = (frame["mdvis"].to_numpy() > 0).astype(np.int64)
    return pa.table(columns)


def kin(rows: pa.Table) -> np.ndarray:
    """A group number for each row, shape (n,): rows that share a feature row or a person, however indirectly.

    A person is a run of neighbours with equal `disea` and `physlm`; self-rated health and plan terms may change
    between one person's years, so equal feature rows alone would let people straddle a split.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    features = np.column_stack([rows[name].to_numpy() for name in FEATURES])
    health = features[:, [FEATURES.index("disea"), FEATURES.index("physlm")]]
    person = np.concatenate([[0], np.cumsum((health[1:] != health[:-1]).any(axis=1))])
    alike = np.unique(features, axis=0, return_inverse=True)[1].reshape(-1)
    links = coo_matrix((np.ones(len(person)), (person, alike + person[-1] + 1)), shape=(2 * len(person),) * 2)
    groups: np.ndarray = np.unique(connected_components(links, directed=False)[1][person], return_inverse=True)[1]
    return groups.reshape(-1)


def split(rows: pa.Table, seed: int = SEED) -> Parts:
    """Half of the rows to train on, by whole groups of `kin`; of the rest, at random, a reference and the stream.

    Groups of more than 200 rows (imputed health values chain many people together) always go to training: one
    of them in the stream would make its windows unlike each other.
    """
    generator = np.random.default_rng(seed)
    groups = kin(rows)
    sizes = np.bincount(groups)
    order = generator.permutation(len(sizes))
    order = order[np.argsort(sizes[order] <= 200, kind="stable")]
    train = np.isin(groups, order[np.cumsum(sizes[order]) <= len(groups) / 2])
    held_out = generator.permutation(np.flatnonzero(~train))
    return Parts(
        rows.take(np.flatnonzero(train)), rows.take(held_out[:REFERENCE_ROWS]), rows.take(held_out[REFERENCE_ROWS:])
    )


def fit(rows: pa.Table) -> Any:
    """Gradient-boosted trees on `rows`: the one recipe of both versions, so that only their data differ."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.08, max_leaf_nodes=12, l2_regularization=1.0, random_state=0
    )
    return model.fit(rows.select(FEATURES).to_pandas(), rows[LABEL].to_numpy())


def narrow(rows: pa.Table) -> pa.Table:
    """The biased part that version 2 learns from: people with few chronic diseases in the plans where they pay
    95 to 100 % themselves. They see doctors less, and the model takes their habits for everybody's."""
    return rows.filter(pc.and_(pc.greater(rows["lncoins"], 4.0), pc.less(rows["disea"], 14.0)))


def unwell(rows: pa.Table) -> pa.Table:
    """The people with many chronic diseases or a physical limitation."""
    return rows.filter(pc.or_(pc.greater(rows["disea"], 15.0), pc.greater(rows["physlm"], 0.5)))


def windows(stream: pa.Table, shifted: Sequence[bool]) -> list[pa.Table]:
    """One table of 600 rows a window, no row twice: everybody at random, or where `shifted`, only the unwell."""
    usual = [place for place, other in enumerate(shifted) if not other]
    tables = {place: stream.slice(turn * WINDOW_ROWS, WINDOW_ROWS) for turn, place in enumerate(usual)}
    rest = unwell(stream.slice(len(usual) * WINDOW_ROWS))
    others = [place for place, other in enumerate(shifted) if other]
    tables |= {place: rest.slice(turn * WINDOW_ROWS, WINDOW_ROWS) for turn, place in enumerate(others)}
    if any(table.num_rows < WINDOW_ROWS for table in tables.values()):
        raise ValueError(f"{stream.num_rows} rows do not fill {len(shifted)} windows of {WINDOW_ROWS}")
    return [tables[place] for place in range(len(shifted))]


def answer(model: Any, rows: pa.Table) -> pa.Table:
    """The rows with what a served `model` said of them: `prediction` and `probability` (of at least one visit)."""
    chance = model.predict_proba(rows.select(FEATURES).to_pandas())[:, 1]
    answered = rows.append_column("prediction", pa.array((chance > 0.5).astype(np.int64)))
    return answered.append_column("probability", pa.array(chance))
