"""The labels of the comparison's picture do not overlap, and its ticks are round."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from tests.bench.autoscaling.picture import HEIGHT, LETTER, LINE, RADIUS, WIDTH, draw, labels, ticks


@pytest.mark.parametrize("seed", range(20))
def test_labels_overlap_no_label_and_no_point(seed: int) -> None:
    chance = random.Random(seed)
    places = {f"controller {n}": (60 + chance.random() * 40, 100 + chance.random() * 40) for n in range(9)}
    found = labels(places)
    assert {name for name, _, _ in found} == set(places)
    for (a, ax, ay), (b, bx, by) in itertools.combinations(found, 2):
        apart = ax + LETTER * len(a) <= bx or bx + LETTER * len(b) <= ax
        assert abs(ay - by) >= LINE - 0.1 or apart, (a, b)
    for (a, ax, ay), (x, y) in itertools.product(found, places.values()):
        apart = ax + LETTER * len(a) <= x - RADIUS or x + RADIUS <= ax
        assert abs(ay - y) >= LINE - 0.1 or apart, (a, x, y)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.614), (0.774, 1.673), (0.0, 9.99), (0.776, 1.363), (0.0, 0.01), (0.99, 1.01), (5.0, 5.0)]
)
def test_ticks_are_round_and_hold_the_values(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low + 1e-9
    assert found[-1] >= high - 1e-9
    assert 2 <= len(found) <= 11
    step = found[1] - found[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5, 10)


def test_a_label_at_the_right_edge_is_inside() -> None:
    drawn = draw({"KEDA rps[2m]": (1.9999, 1.0), "oracle": (0.0, 0.7)})
    assert f'viewBox="0 0 {WIDTH} {HEIGHT}"' in drawn
    (left,) = [float(line.split('"')[1]) for line in drawn.splitlines() if "KEDA" in line]
    assert left + LETTER * len("KEDA rps[2m]") <= WIDTH
