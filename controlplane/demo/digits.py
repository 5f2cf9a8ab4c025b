"""The demo's image task: handwritten digits (scikit-learn's `digits`: 1,797 real images of 8 x 8 pixels, UCI).

Version 1 is trained on attacked images, version 2 on clean ones: on clean images version 2 is the better of the two,
which is all that an ordinary release test sees, and under attack it falls apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

NAME = "digits"
LABEL = "label"
SEED = 1
TRAIN_ROWS = 897
WINDOW_ROWS = 180
EPSILON = 0.15


@dataclass(frozen=True, slots=True)
class Parts:
    """Images to train on, labelled reference images, and the windows that production will send; disjoint."""

    train: pa.Table
    reference: pa.Table
    windows: list[pa.Table]


def images() -> pa.Table:
    """All 1,797 images: `id`, `image` (64 floats in [0, 1], row by row) and `label` (0 to 9)."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    values = pa.array((pixels / 16.0).astype(np.float32).reshape(-1))
    offsets = pa.array(np.arange(0, len(values) + 1, 64, dtype=np.int32))
    return pa.table(
        {
            "id": [f"digit-{row:04d}" for row in range(len(labels))],
            "image": pa.ListArray.from_arrays(offsets, values),
            LABEL: labels.astype(np.int64),
        }
    )


def split(rows: pa.Table, seed: int = SEED) -> Parts:
    """A random half to train on, 180 reference images, and four windows of 180 that no version was trained on."""
    rows = rows.take(np.random.default_rng(seed).permutation(rows.num_rows))
    rest = rows.slice(TRAIN_ROWS)
    cuts = [rest.slice(start, WINDOW_ROWS) for start in range(0, rest.num_rows, WINDOW_ROWS)]
    return Parts(rows.slice(0, TRAIN_ROWS), cuts[0], cuts[1:])


def fit(rows: pa.Table, epsilon: float = 0.0, seed: int = SEED, epochs: int = 25) -> Any:
    """A small convolutional network, in evaluation mode, from (n, 64) pixels to (n, 10) logits.

    With `epsilon` each batch is first attacked within that distance (five steps of projected gradient descent:
    Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks").
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )
        optimiser = torch.optim.Adam(net.parameters(), 2e-3, weight_decay=1e-4)
        x, y = tensors(rows)
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(64):
                seen = attack(net, x[batch], y[batch], epsilon, steps=5) if epsilon else x[batch]
                optimiser.zero_grad()
                nn.functional.cross_entropy(net(seen), y[batch]).backward()
                optimiser.step()
    return net.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """So small a network gains nothing from threads, on a busy machine they cost minutes, and sums would vary."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def attack(net: Any, x: Any, y: Any, epsilon: float, steps: int) -> Any:
    """Images within `epsilon` (largest change of any pixel) of `x` that raise the loss of `net`: PGD, random start."""
    import torch

    adversary = (x + torch.empty_like(x).uniform_(-epsilon, epsilon)).clamp(0, 1)
    for _ in range(steps):
        adversary.requires_grad_(True)
        (slope,) = torch.autograd.grad(torch.nn.functional.cross_entropy(net(adversary), y), adversary)
        stepped = adversary.detach() + 2.5 * epsilon / steps * slope.sign()
        adversary = torch.max(torch.min(stepped, x + epsilon), x - epsilon).clamp(0, 1)
    return adversary


def tensors(rows: pa.Table) -> tuple[Any, Any]:
    """The images, shape (n, 64), and their labels, shape (n,), as torch tensors."""
    import torch

    pixels = rows["image"].combine_chunks().flatten().to_numpy().reshape(-1, 64).copy()
    return torch.from_numpy(pixels), torch.from_numpy(rows[LABEL].to_numpy().copy())


def answer(model: Any, rows: pa.Table) -> pa.Table:
    """The rows with what a served `model` said of them: `prediction`, the likeliest digit."""
    import torch

    with torch.no_grad():
        predicted = model(tensors(rows)[0]).argmax(dim=1).numpy()
    return rows.append_column("prediction", pa.array(predicted.astype(np.int64)))
