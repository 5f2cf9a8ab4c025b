"""Every statistic of a pair of columns by name, with interval, n and the p-value of its test."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from controlplane.profiles.compare import ks, missing_increase, unseen_increase
from controlplane.profiles.distances import chi_squared, js_distance, shares, stability_index, tv_distance
from controlplane.profiles.intervals import Figure, Z, cell_noise, chi_squared_bound
from controlplane.profiles.kinds import Ints
from controlplane.profiles.pairs import Pair
from controlplane.profiles.significance import chi_squared_p_value, ks_p_value, proportions_p_value
from controlplane.profiles.transport import wasserstein


def figures(pair: Pair) -> dict[str, Figure]:
    """What can be said of a pair: `missing` always, and of values on both sides how far they are apart.

    Numbers: `ks`, `wasserstein` (in standard deviations of the reference), `total_variation`, `jensen_shannon` (in
    bits) and `psi`. Categories: the last three, `chi_squared` (as Cramer's V) and `unseen`. `missing` and `unseen` are
    by how much those shares rose. Nothing where a side has no rows.
    """
    before, after = pair.before, pair.after
    if not before.n or not after.n:
        return {}
    p_value = proportions_p_value(after.missing, after.n, before.missing, before.n)
    found = {"missing": replace(missing_increase(before, after), p_value=p_value)}
    one, two = pair.cells
    if before.bins.kind.counted:
        if before.present and after.present:
            found["total_variation"] = share_moved(one, two)
            found["jensen_shannon"] = jensen_shannon_of(one, two)
            found["psi"] = psi_of(one, two)
            found["chi_squared"] = cramers_v(one, two)
            p_value = proportions_p_value(after.unseen, after.present, before.unseen, before.present)
            found["unseen"] = replace(unseen_increase(before, after), p_value=p_value)
        return found
    if before.finite + before.infinite and after.finite + after.infinite:
        distance = ks(before, after)
        found["ks"] = replace(distance, p_value=ks_p_value(before, after, distance.estimate))
    if before.finite and after.finite:
        found["wasserstein"] = wasserstein(before, after)
        found["total_variation"] = share_moved(one, two)
        found["jensen_shannon"] = jensen_shannon_of(one, two)
        found["psi"] = psi_of(one, two)
    return found


def share_moved(one: Ints, two: Ints) -> Figure:
    """Total variation of two sets of counts as it is; its interval leaves out what sampling alone adds on average."""
    m, n = int(one.sum()), int(two.sum())
    plug_in = tv_distance(one, two)
    noise, spread = cell_noise(one / m, m, two / n, n)
    return Figure(plug_in, max(0.0, plug_in - noise - Z * spread), min(1.0, plug_in + Z * spread), n)


def jensen_shannon_of(one: Ints, two: Ints) -> Figure:
    """Jensen-Shannon distance in bits of two sets of counts as it is, with the interval of `compare.jensen_shannon`."""
    m, n = int(one.sum()), int(two.sum())
    plug_in = js_distance(one, two)
    radius = math.sqrt(chi_squared_bound(len(one)) / (8 * math.log(2))) * (n**-0.5 + m**-0.5)
    return Figure(plug_in, max(0.0, plug_in - radius), min(1.0, plug_in + radius), n)


def psi_of(one: Ints, two: Ints) -> Figure:
    """Population stability index of two sets of counts, with its interval.

    Without a change it is about chi-squared over the cells less one, times 1/m + 1/n (Yurdakul and Naranjo 2020): that
    mean comes off the low end, and its variance adds to that of the first derivatives (the delta method).
    """
    m, n = int(one.sum()), int(two.sum())
    plug_in = stability_index(one, two)
    p, q = shares(one + 0.5), shares(two + 0.5)
    of_p, of_q = 1 - q / p - np.log(q / p), 1 - p / q + np.log(q / p)
    slope = float(p @ np.square(of_p) - (p @ of_p) ** 2) / m + float(q @ np.square(of_q) - (q @ of_q) ** 2) / n
    per_cell, degrees = 1 / m + 1 / n, len(one) - 1
    error = math.sqrt(max(0.0, slope) + 2 * degrees * per_cell**2)
    return Figure(plug_in, max(0.0, plug_in - degrees * per_cell - Z * error), plug_in + Z * error, n)


def cramers_v(one: Ints, two: Ints) -> Figure:
    """Cramer's V (1946), the root of the two-sample chi-squared over its largest value, with that test's p-value.

    Its interval turns that of the noncentrality parameter into V (Smithson 2003): 95 % by the noncentral chi-squared.
    """
    from scipy.special import chndtrinc

    m, n = int(one.sum()), int(two.sum())
    statistic, degrees = chi_squared(one, two)
    p_value = chi_squared_p_value(statistic, degrees)
    if not degrees:
        return Figure(0.0, 0.0, 1.0, n, p_value=p_value)
    low, high = (max(0.0, float(np.nan_to_num(chndtrinc(statistic, degrees, tail)))) for tail in (0.975, 0.025))
    v, least, most = (min(1.0, math.sqrt(value / (m + n))) for value in (statistic, low, high))
    return Figure(v, min(least, v), max(most, v), n, p_value=p_value)
