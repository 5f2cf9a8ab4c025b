"""The image task: one version hardened, the other not."""

import pyarrow as pa
import pytest

from controlplane.demo import digits

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def parts() -> digits.Parts:
    return digits.split(digits.images())


def accuracy(net: object, rows: pa.Table, epsilon: float = 0.0) -> float:
    import torch

    x, y = digits.tensors(rows)
    if epsilon:
        torch.manual_seed(0)
        x = digits.attack(net, x, y, epsilon, steps=20)
    return float((net(x).argmax(dim=1) == y).double().mean())


def test_images_are_real_and_scaled() -> None:
    rows = digits.images()
    pixels, labels = digits.tensors(rows)
    assert tuple(pixels.shape) == (1797, 64)
    assert (float(pixels.min()), float(pixels.max())) == (0.0, 1.0)
    assert sorted(set(labels.tolist())) == list(range(10))


def test_every_image_is_in_one_part(parts: digits.Parts) -> None:
    ids = [row for part in (parts.train, parts.reference, *parts.windows) for row in part["id"].to_pylist()]
    assert len(ids) == len(set(ids)) == 1797
    assert [window.num_rows for window in parts.windows] == [digits.WINDOW_ROWS] * 4


def test_the_attack_stays_within_its_distance_and_the_range_of_pixels(parts: digits.Parts) -> None:
    x, y = digits.tensors(parts.reference)
    net = digits.fit(parts.reference, epochs=1)
    moved = digits.attack(net, x, y, 0.1, steps=3)
    assert float((moved - x).abs().max()) <= 0.1 + 1e-6
    assert 0.0 <= float(moved.min()) and float(moved.max()) <= 1.0


def test_the_same_seed_trains_the_same_network_and_leaves_the_global_one_alone(parts: digits.Parts) -> None:
    import torch

    before = torch.random.get_rng_state()
    nets = [digits.fit(parts.reference, digits.EPSILON, epochs=1) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*(net.state_dict().values() for net in nets), strict=True))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_plain_version_is_better_on_clean_images_and_far_worse_under_attack(parts: digits.Parts) -> None:
    held_out = pa.concat_tables([parts.reference, *parts.windows])
    hardened, plain = digits.fit(parts.train, digits.EPSILON), digits.fit(parts.train)
    assert accuracy(plain, held_out) > accuracy(hardened, held_out) > 0.93
    assert accuracy(hardened, held_out, digits.EPSILON) > accuracy(plain, held_out, digits.EPSILON) + 0.3
