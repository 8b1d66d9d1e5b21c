"""The HPA's algorithm, by the examples of its documentation."""

from __future__ import annotations

from resilience_operator.simulation.autoscaler import Autoscaler, PodUsage


def usage(*values: float, unready: int = 0, missing: int = 0) -> list[PodUsage]:
    return [PodUsage(True, v) for v in values] + [PodUsage(False, 0.0)] * unready + [PodUsage(True, None)] * missing


def test_the_ratio_of_usage_and_target() -> None:
    assert Autoscaler(0.5).replicas(0, 3, 1, 20, usage(1.0, 1.0, 1.0)) == 6
    assert Autoscaler(0.5).replicas(0, 3, 1, 20, usage(0.54, 0.54, 0.54)) == 3, "within the tolerance"
    assert Autoscaler(0.5).replicas(0, 3, 1, 20, usage(0.58, 0.58, 0.58)) == 4
    assert Autoscaler(0.5).replicas(0, 3, 1, 20, []) == 3, "no metric"
    assert Autoscaler(0.5).replicas(0, 0, 1, 20, []) == 0, "disabled"


def test_bounds() -> None:
    assert Autoscaler(0.5).replicas(0, 3, 4, 20, usage(0.1)) == 4
    assert Autoscaler(0.5).replicas(0, 30, 4, 20, usage(0.1)) == 20
    assert Autoscaler(0.5).replicas(0, 10, 4, 15, usage(*[1.0] * 10)) == 15


def test_it_grows_by_the_larger_of_double_and_four_within_15_seconds() -> None:
    assert Autoscaler(0.5).replicas(0, 2, 1, 99, usage(5.0, 5.0)) == 6
    assert Autoscaler(0.5).replicas(0, 8, 1, 99, usage(*[5.0] * 8)) == 16
    found = Autoscaler(0.5)
    assert found.replicas(0, 8, 1, 99, usage(*[5.0] * 8)) == 16
    assert found.replicas(15, 16, 1, 99, usage(*[5.0] * 16)) == 32


def test_it_shrinks_to_the_highest_recommendation_of_five_minutes() -> None:
    found = Autoscaler(0.5)
    assert found.replicas(0, 8, 1, 99, usage(*[0.5] * 8)) == 8
    assert found.replicas(15, 8, 1, 99, usage(*[0.1] * 8)) == 8
    assert found.replicas(290, 8, 1, 99, usage(*[0.2] * 8)) == 8
    assert found.replicas(301, 8, 1, 99, usage(*[0.1] * 8)) == 4
    assert found.replicas(700, 4, 1, 99, usage(*[0.1] * 4)) == 1


def test_unready_pods_count_as_idle_and_unmeasured_ones_as_busy() -> None:
    # 2 pods at 100% ask for 4; two more that start would halve it: nothing changes.
    assert Autoscaler(0.5).replicas(0, 4, 1, 99, usage(1.0, 1.0, unready=2)) == 4
    assert Autoscaler(0.5).replicas(0, 4, 1, 99, usage(2.0, 2.0, unready=2)) == 8
    assert Autoscaler(0.5).replicas(0, 4, 1, 99, usage(0.1, 0.1, missing=2)) == 3
