"""The reliability curve of probabilities, and their calibration error without the part that is noise.

The calibration error (ECE; Naeini et al. 2015) is the mean over rows of how far their bin's observed share lies from
its mean probability. Taken from the same rows it is too large, by noise that counts as error in whichever direction it
falls: 500 answers in ten bins that are calibrated to the last digit show about 0.045.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from controlplane.checks.intervals import Interval
from controlplane.profiles.intervals import Z
from controlplane.profiles.kinds import Floats, Ints

ROWS_A_BIN = 20


@dataclass(frozen=True)
class Curve:
    """Bins of about equal n, by rising confidence: rows, hits, mean confidence and the variance of hit less confidence.

    `least` and `most` are the smallest and the largest confidence in each.
    """

    rows: Ints
    hits: Ints
    confidence: Floats
    variance: Floats
    least: Floats
    most: Floats

    @property
    def observed(self) -> Floats:
        """The share of hits in each bin."""
        return self.hits / self.rows

    @property
    def plain(self) -> float:
        """The calibration error as the rows show it, noise and all."""
        return float(self.rows @ np.abs(self.observed - self.confidence) / self.rows.sum())

    @property
    def error(self) -> float:
        """The calibration error less what noise adds to it.

        The mean squared gap is known without bias, as that of the plain gaps less the variance of their noise (Kumar,
        Liang and Ma 2019), at least 0. The plain error is shrunk by as much as noise widens normal gaps of that size.
        """
        noise = self.variance / self.rows
        squared = max(float(self.rows @ (np.square(self.observed - self.confidence) - noise) / self.rows.sum()), 0.0)
        widened = float(self.rows @ np.sqrt(squared + noise) / self.rows.sum())
        return self.plain * (math.sqrt(squared) / widened)

    @property
    def interval(self) -> Interval:
        """A 95 % interval of the true calibration error in these bins.

        Around its mean the plain error has normal tails no wider than a mean's, whichever way the gaps lean (Borell
        1975); its mean lies above the truth by no more than the noise adds to gaps two standard errors nearer to 0 than
        those seen. So it errs to the wide side near 0, and is a mean's interval where every gap is clear.
        """
        half = Z * math.sqrt(float(self.rows @ self.variance)) / float(self.rows.sum())
        return min(max(self.plain - self._noise() - half, 0.0), self.error), min(self.plain + half, 1.0)

    def _noise(self) -> float:
        """The mean over rows of E|gap + noise| - |gap|, of gaps two standard errors nearer to 0 than those seen."""
        from scipy.special import ndtr

        errors = np.sqrt(self.variance / self.rows)
        gaps = np.maximum(np.abs(self.observed - self.confidence) / errors - 2, 0.0)
        excess = 2 * errors * (np.exp(-gaps * gaps / 2) / math.sqrt(2 * math.pi) - gaps * ndtr(-gaps))
        return float(self.rows @ excess / self.rows.sum())

    @property
    def segments(self) -> list[str]:
        """The bins in words, with as many decimals as tell them apart.

        >>> curve(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, True]), 2, least=1).segments
        ['0.10 to 0.10', '0.90 to 0.90']
        """
        for digits in range(2, 9):
            named = [f"{low:.{digits}f} to {high:.{digits}f}" for low, high in zip(self.least, self.most, strict=True)]
            if len(set(named)) == len(named):
                break
        else:
            named = [f"{said}, bin {place}" for place, said in enumerate(named, start=1)]
        return named


def curve(confidence: Floats, hits: np.ndarray, bins: int, least: int = ROWS_A_BIN) -> Curve:
    """Cut n rows by confidence, shape (n,), into at most `bins` bins of about n / bins and at least `least` rows.

    Rows of one confidence stay together. `hits` (n,) says where what was believed came true.
    """
    order = np.argsort(confidence, kind="stable")
    sure, hit = confidence[order], hits[order].astype(np.float64)
    n = len(sure)
    wanted = max(min(bins, n // least), 1)
    cuts = np.searchsorted(sure, sure[(np.arange(1, wanted) * n) // wanted])
    starts = np.unique(np.append(0, cuts))
    rows = np.diff(np.append(starts, n))
    apart = hit - sure
    means = np.add.reduceat(apart, starts) / rows
    squares = np.add.reduceat(np.square(apart - np.repeat(means, rows)), starts)
    return Curve(
        rows=rows,
        hits=np.add.reduceat(hit, starts).round().astype(np.int64),
        confidence=np.add.reduceat(sure, starts) / rows,
        # Half a row that is wrong by all it can be: a bin where every row came out alike still leaves its doubt.
        variance=(squares + 0.5) / rows,
        least=sure[starts],
        most=sure[np.append(starts[1:], n) - 1],
    )
