"""Faults of simulated pods: crash loops with their back-off, readiness, images, and how they heal."""

from __future__ import annotations

from math import inf

import pytest

from resilience_operator.simulation.pods import Fault, FaultKind, Pod, advance_pod, break_pod, heal, start

T0 = 1e9
STARTUP = 30.0


def new(kind: FaultKind, **fields: float) -> Pod:
    pod = Pod("v2", inf, "app-v2-1", T0, fault=Fault(kind, **fields))  # type: ignore[arg-type]
    return start(pod, STARTUP, T0)


def serving() -> Pod:
    return Pod("v1", T0 - 3600, "app-v1-1", T0 - 3630, T0 - 3630)


def test_a_crash_loop_doubles_its_back_off() -> None:
    pod, times = new(FaultKind.CRASH), []
    for second in range(1200):
        before = pod.restarts
        pod = advance_pod(pod, STARTUP, T0 + second)
        if pod.restarts > before:
            times.append(second)
    # 5 s of running; the first restart is immediate, then after 10, 20, 40 … s.
    assert times == [5, 10, 25, 50, 95, 180, 345, 650, 955]
    assert pod.restarts == 9
    assert pod.state(T0 + 1100).waiting == "CrashLoopBackOff"
    assert pod.state(T0 + 957).last_terminated_at == T0 + 955
    assert pod.state(T0 + 957).last_terminated == "Error"
    assert not pod.state(T0 + 1100).ready
    assert pod.state(T0 + 1100).started_serving is None


def test_a_container_that_ends_later_serves_in_between() -> None:
    pod = new(FaultKind.OOM, after=60.0)
    assert pod.state(T0 + 45).ready
    pod = advance_pod(pod, STARTUP, T0 + 61)
    state = pod.state(T0 + 61)
    assert (state.ready, state.restarts, state.last_terminated) == (False, 1, "OOMKilled")
    assert state.started_serving == T0 + 30
    assert (state.unready_count, state.unready_since) == (1, T0 + 60)
    assert pod.state(T0 + 95).ready


@pytest.mark.parametrize(
    ("kind", "waiting"),
    [
        (FaultKind.IMAGE, "ImagePullBackOff"),
        (FaultKind.CONFIG, "CreateContainerConfigError"),
        (FaultKind.NOT_READY, ""),
    ],
)
def test_a_pod_that_never_starts(kind: FaultKind, waiting: str) -> None:
    pod = advance_pod(new(kind), STARTUP, T0 + 3600)
    state = pod.state(T0 + 3600)
    assert (state.ready, state.waiting, state.restarts) == (False, waiting, 0)
    assert pod.running(T0 + 3600) is (kind is FaultKind.NOT_READY)
    healed = heal(pod, STARTUP, T0 + 3600)
    assert healed.state(T0 + 3631).ready


def test_a_pending_pod_has_no_node() -> None:
    state = new(FaultKind.PENDING).state(T0 + 60)
    assert (state.ready, state.node) == (False, "")
    assert "Insufficient cpu" in state.unschedulable


def test_flapping() -> None:
    pod = new(FaultKind.FLAP, after=20.0, down=10.0)
    seen = []
    for second in range(0, 121, 10):
        pod = advance_pod(pod, STARTUP, T0 + second)
        seen.append(pod.state(T0 + second).ready)
    assert seen == [False] * 3 + [True, True, False] * 3 + [True]
    assert pod.state(T0 + 120).unready_count == 3
    assert heal(pod, STARTUP, T0 + 125).state(T0 + 125).ready


@pytest.mark.parametrize("kind", [FaultKind.IMAGE, FaultKind.CONFIG, FaultKind.PENDING])
def test_a_running_pod_keeps_its_image_its_configuration_and_its_node(kind: FaultKind) -> None:
    pod = break_pod(serving(), Fault(kind), STARTUP, T0)
    assert pod == serving()


def test_a_serving_pod_begins_to_crash() -> None:
    pod = break_pod(serving(), Fault(FaultKind.CRASH), STARTUP, T0)
    state = pod.state(T0 + 1)
    assert (state.ready, state.restarts, state.unready_count) == (False, 1, 1)
    assert state.started_serving == T0 - 3600
    healed = heal(pod, STARTUP, T0 + 100)
    assert not healed.state(T0 + 129).ready
    assert healed.state(T0 + 130).ready


def test_a_hanging_pod_stays_ready() -> None:
    pod = break_pod(serving(), Fault(FaultKind.HANG), STARTUP, T0)
    assert pod.state(T0 + 100).ready
    assert heal(pod, STARTUP, T0 + 100).fault is None
