"""How far predicted numbers lie from their labels: MAE, RMSE, bias, R2 and pinball loss."""

from __future__ import annotations

import numpy as np

from controlplane.checks.contributions import Contributions, Undefined, mean


def mae(labels: np.ndarray, predictions: np.ndarray) -> Contributions:
    """The mean absolute error."""
    return mean(np.abs(predictions - labels), least=0.0)


def rmse(labels: np.ndarray, predictions: np.ndarray) -> Contributions:
    """The root of the mean squared error, through its influence values (delta method).

    >>> rmse(np.array([0.0, 0.0]), np.array([7.0, 1.0])).estimate
    5.0
    """
    squares = np.square(predictions - labels)
    root = float(np.sqrt(squares.mean()))
    return mean(root + (squares - root * root) / (2 * root) if root > 0 else squares, least=0.0)


def bias(labels: np.ndarray, predictions: np.ndarray) -> Contributions:
    """How far off predictions lie on average, on whichever side: the size of the mean of prediction minus label.

    A size, because a version that predicts 8 too little is no better than one that predicts 2 too much; a signed number
    held against one limit would say so. The note tells the side.

    >>> found = bias(np.array([10.0, 20.0]), np.array([8.0, 18.0]))
    >>> found.estimate, found.note
    (2.0, 'predictions are 2 too low on average')
    """
    errors = predictions - labels
    signed = float(errors.mean())
    note = f"predictions are {abs(signed):.3g} too {'high' if signed > 0 else 'low'} on average" if signed else ""
    found = mean(errors if signed >= 0 else -errors, note=note)
    low, high = found.interval
    return Contributions(found.values, (max(low, 0.0), high), note=note)


def r2(labels: np.ndarray, predictions: np.ndarray) -> Contributions:
    """The share of the labels' variance that predictions explain; below 0 where their mean would have done better."""
    around = np.square(labels - labels.mean())
    spread = float(around.mean())
    if spread == 0.0:
        raise Undefined(f"r2 is not defined: every label is {labels[0]:g}")
    squares = np.square(predictions - labels)
    left = float(squares.mean()) / spread
    return mean(1 - left - (squares - left * around) / spread, most=1.0)


def pinball(labels: np.ndarray, predictions: np.ndarray, quantile: float) -> Contributions:
    """The mean pinball loss of a predicted quantile (Koenker and Bassett 1978): what lies above costs `quantile`."""
    errors = labels - predictions
    return mean(np.maximum(quantile * errors, (quantile - 1) * errors), least=0.0)
