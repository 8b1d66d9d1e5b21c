"""Events and writers of scenarios: what each does to the target and to its measurements, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from resilience_operator.cli.kubectl import app
from resilience_operator.cli.scenario.model import Scenario
from resilience_operator.cli.scenario.run import ScenarioRun, run
from resilience_operator.cli.scenario.trace import Moment
from resilience_operator.decision.model.target import TargetState
from tests.unit.cli.support import policy

RULES = [{"name": "high-cpu", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]}]
"""A policy that changes nothing, so that only the scenario does."""
WATCHING = policy(
    rules=[*RULES, {"name": "errors", "when": {"signal": "error-rate", "above": "1%"}, "then": [{"alert": {}}]}]
)


def ran(document: dict[str, Any] | None = None, **fields: Any) -> ScenarioRun:
    document = WATCHING if document is None else document
    base = {"policy": document, "duration": "20m", "workload": {"replicas": 4}, "load": 100}
    return run(Scenario.model_validate({**base, **fields}), document, "case")


def at(found: ScenarioRun, minutes: float) -> Moment:
    return [m for m in found.trace.moments if m.at <= 60 * minutes][-1]


def target(found: ScenarioRun, minutes: float) -> TargetState:
    return at(found, minutes).target


def kind(name: str) -> dict[str, Any]:
    return policy(rules=RULES, targetRef={"apiVersion": "apps/v1", "kind": name, "name": "checkout"})


@pytest.mark.parametrize(
    ("fault", "waiting", "terminated"),
    [
        ({"kind": "crash"}, "CrashLoopBackOff", "Error"),
        ({"kind": "oomKilled", "after": "40s"}, "CrashLoopBackOff", "OOMKilled"),
        ({"kind": "imagePull"}, "ImagePullBackOff", ""),
        ({"kind": "configError"}, "CreateContainerConfigError", ""),
        ({"kind": "notReady"}, "", ""),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_broken_release_shows_why_its_pods_do_not_serve(fault: dict[str, str], waiting: str, terminated: str) -> None:
    found = ran(events=[{"at": "5m", "release": {"revision": "v2", "fault": fault}}])
    state = target(found, 19)
    assert not state.rolled_out
    assert state.ready >= 1
    assert state.pods is not None
    new = [pod for pod in state.pods if pod.revision == "v2"]
    assert new
    assert not any(pod.ready for pod in new)
    # A crashed container is running again from time to time.
    seen = {pod.waiting for m in found.trace.moments for pod in m.target.pods or () if pod.revision == "v2"}
    assert waiting in seen
    assert {pod.last_terminated for pod in new} == {terminated}
    if terminated:
        assert all(2 < pod.restarts < 12 for pod in new), "the back-off doubles"


def test_flapping_pods_become_ready_again_and_again() -> None:
    found = ran(events=[{"at": "5m", "fault": {"kind": "flap", "pods": 2, "after": "20s", "down": "40s", "for": "5m"}}])
    seen = [m.target.ready for m in found.trace.moments if 300 <= m.at < 600]
    assert set(seen) == {2, 4}
    assert target(found, 11).ready == 4


def test_pods_that_hang_are_ready_and_fail() -> None:
    found = ran(events=[{"at": "5m", "fault": {"kind": "hang", "pods": 1}}])
    assert target(found, 15).ready == 4
    assert "Alert" in {h.action for h in found.report.events}


def test_pending_pods_wait_for_a_node_in_the_schedulers_words() -> None:
    found = ran(workload={"replicas": 4, "nodes": 6}, events=[
        {"at": "5m", "scale": {"to": 8}}, {"at": "10m", "nodes": {"pods": 7}}, {"at": "15m", "nodes": {}},
    ])  # fmt: skip
    assert [target(found, m).ready for m in (9, 13, 18)] == [6, 7, 8]
    waiting = [pod for pod in target(found, 9).pods or () if pod.unschedulable]
    assert len(waiting) == 2
    assert "Insufficient cpu" in waiting[0].unschedulable


def test_a_quota_stops_the_controller_with_its_own_words() -> None:
    found = ran(workload={"replicas": 4, "quota": 5}, events=[
        {"at": "5m", "scale": {"to": 8}}, {"at": "10m", "quota": {}},
    ])  # fmt: skip
    assert (target(found, 9).ready, target(found, 9).replicas, at(found, 9).pods) == (5, 8, 5)
    assert "exceeded quota" in target(found, 9).create_failure
    assert (target(found, 12).ready, target(found, 12).create_failure) == (8, "")


def test_a_recreate_has_a_gap_and_full_surge_has_none() -> None:
    events = [{"at": "5m", "release": {"revision": "v2"}}]
    gap = ran(workload={"replicas": 4, "strategy": {"type": "Recreate"}}, events=events)
    assert min(m.target.ready for m in gap.trace.moments) == 0
    assert target(gap, 8).rolled_out
    safe = ran(workload={"replicas": 4, "strategy": {"maxSurge": "100%", "maxUnavailable": 0}}, events=events)
    assert min(m.target.ready for m in safe.trace.moments) == 4
    assert max(m.pods for m in safe.trace.moments) == 8
    assert target(safe, 8).rolled_out


def test_a_statefulset_goes_one_by_one_and_is_blocked_by_a_broken_pod() -> None:
    found = ran(kind("StatefulSet"), events=[
        {"at": "5m", "release": {"revision": "v2", "fault": {"kind": "crash"}}},
        {"at": "10m", "release": {"revision": "v1"}},
    ])  # fmt: skip
    state = target(found, 19)
    assert [pod.name for pod in state.pods or ()] == [f"checkout-{n}" for n in range(4)]
    assert [pod.revision for pod in state.pods or ()] == ["v1", "v1", "v1", "v2"], "the template alone does not mend it"
    good = ran(kind("StatefulSet"), events=[{"at": "5m", "release": {"revision": "v2"}}])
    assert target(good, 10).rolled_out
    assert min(m.target.ready for m in good.trace.moments) == 3


def test_a_daemonset_replaces_one_pod_at_a_time() -> None:
    found = ran(kind("DaemonSet"), events=[{"at": "5m", "release": {"revision": "v2"}}])
    assert target(found, 10).rolled_out
    assert min(m.target.ready for m in found.trace.moments) == 3
    broken = ran(
        kind("DaemonSet"), events=[{"at": "5m", "release": {"revision": "v2", "fault": {"kind": "imagePull"}}}]
    )
    assert sum(pod.revision == "v2" for pod in target(broken, 19).pods or ()) == 1


def test_an_hpa_follows_the_load_within_its_bounds() -> None:
    found = ran(
        duration="40m",
        workload={"replicas": 4, "hpa": {"min": 3, "max": 10, "target": "50%"}},
        load=[{"to": 100}, {"at": "10m", "to": 350}, {"at": "20m", "to": 100}],
        events=[{"at": "35m", "hpa": {"min": 6}}],
    )
    assert target(found, 9).replicas == 3
    assert target(found, 18).replicas in (7, 8)
    assert target(found, 24).replicas in (7, 8), "it waits for its stabilization window"
    assert target(found, 33).replicas == 3
    assert target(found, 36).replicas == 6
    state = target(found, 18)
    assert state.scaled_by == "horizontal-pod-autoscaler"
    assert (target(found, 36).hpa.min_replicas, state.hpa.min_replicas) == (6, 3)  # type: ignore[union-attr]


def test_writers_set_their_fields_again() -> None:
    writers = [
        {"by": "argocd-controller", "every": "3m", "replicas": 4, "paused": False, "until": "12m"},
        {"by": "helm", "delay": "10s", "revision": "v1", "from": "12m"},
    ]
    found = ran(writers=writers, events=[
        {"at": "4m", "scale": {"to": 7}}, {"at": "7m", "pause": {}},
        {"at": "13m", "scale": {"to": 5}}, {"at": "14m", "release": {"revision": "v2", "by": "kubectl"}},
    ])  # fmt: skip
    assert [target(found, m).replicas for m in (5, 7, 19)] == [7, 4, 5]
    assert target(found, 7).scaled_by == "argocd-controller"
    assert [target(found, m).paused for m in (8, 10)] == [True, False]
    assert target(found, 14).revision == "v2"
    assert (target(found, 15).revision, target(found, 15).template_by) == ("v1", "helm")


def test_an_autoscaler_of_another_tool_is_rewritten() -> None:
    found = ran(
        workload={"replicas": 4, "hpa": {"min": 2, "max": 10, "owner": "KEDA"}},
        writers={"by": "keda-operator", "every": "1m", "hpaMin": 2, "hpaMax": 12},
        events=[{"at": "5m30s", "hpa": {"min": 5}}],
    )
    mins = [target(found, m).hpa.min_replicas for m in (5, 5.75, 7)]  # type: ignore[union-attr]
    assert mins == [2, 5, 2]
    assert target(found, 7).hpa.max_replicas == 12  # type: ignore[union-attr]
    assert target(found, 7).hpa.owner == "KEDA"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("event", "alerts"),
    [
        ({"dependency": {"errors": "20%", "for": "5m"}}, True),
        ({"dependency": {"errors": "20%", "revision": "v2"}}, False),
        ({"config": {"errors": "20%"}}, False),
        ({"config": {"errors": "20%", "allPods": True}}, True),
    ],
    ids=str,
)
def test_a_fault_outside_hits_the_pods_that_it_says(event: dict[str, Any], alerts: bool) -> None:
    found = ran(events=[{"at": "5m", **event}])
    assert ("Alert" in {h.action for h in found.report.events}) is alerts


def test_a_changed_configuration_hits_new_pods_of_any_revision() -> None:
    events = [{"at": "5m", "config": {"errors": "50%"}}, {"at": "8m", "scale": {"to": 8}}]
    found = ran(events=events)
    (alert,) = [h for h in found.report.events if h.action == "Alert"]
    assert alert.at - found.report.start > 8 * 60
    broken = ran(events=[{"at": "5m", "config": {"fault": {"kind": "configError"}}}, {"at": "8m", "scale": {"to": 8}}])
    assert target(broken, 15).ready == 4


def test_a_slow_dependency_shows_in_the_latency() -> None:
    document = policy(
        rules=[{"name": "slow", "when": {"signal": "latency-p99", "above": "1s"}, "then": [{"alert": {}}]}]
    )
    found = ran(document, events=[{"at": "5m", "dependency": {"latency": "3s", "for": "5m"}}])
    verdicts = [at(found, m).signals["latency-p99"].verdict for m in (4, 9, 15)]
    assert verdicts == ["Ok", "Breach", "Ok"]


def test_metrics_can_be_gone_in_two_ways() -> None:
    source = ran(events=[{"at": "5m", "metricsGone": {"for": "5m", "signals": ["cpu"]}}])
    assert [at(source, m).signals["cpu"].reason for m in (6, 11)] == ["SourceUnreachable", "WithinBounds"]
    scrapes = ran(events=[{"at": "5m", "metricsGone": {"for": "10m", "how": "scrapes"}}])
    assert at(scrapes, 6).signals["cpu"].reason == "WithinBounds", "the window still has samples"
    assert at(scrapes, 12).signals["cpu"].reason == "NoData"


def test_nothing_is_evaluated_while_the_operator_is_down() -> None:
    found = ran(events=[{"at": "5m", "operatorDown": {"for": "4m"}}, {"at": "6m", "scale": {"to": 6}}])
    assert not [m for m in found.trace.moments if 300 < m.at < 540]
    assert target(found, 9).replicas == 6


@pytest.mark.parametrize("jump", [{"forward": "2h"}, {"back": "2h"}], ids=str)
def test_the_operators_clock_jumps_and_the_report_does_not(jump: dict[str, str]) -> None:
    found = ran(events=[{"at": "5m", "clockJump": jump}])
    times = [m.at for m in found.trace.moments]
    assert times == sorted(times)
    assert len(times) == pytest.approx(80, abs=2)
    assert at(found, 15).signals["cpu"].verdict == "Ok"


def test_the_policy_changes() -> None:
    found = ran(events=[{"at": "5m", "policy": policy(rules=RULES)}])
    assert [set(at(found, m).signals) for m in (4, 6)] == [{"cpu", "error-rate"}, {"cpu"}]


def test_a_load_is_read_from_a_trace(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("seconds,value\n0,100\n300,200\n600,100\n")
    file = tmp_path / "case.yaml"
    base = {"policy": policy(rules=RULES), "duration": "15m", "workload": {"replicas": 4}}
    expect = [{"action": "Alert", "from": "3m", "until": "8m"}]
    file.write_text(yaml.safe_dump({**base, "load": {"csv": "trace.csv", "factor": 1.7}, "expect": expect}))
    result = CliRunner().invoke(app, ["test", str(file), "--seeds", "2"])
    assert result.exit_code == 0, result.output


def test_a_signal_can_be_divided_by_the_pods() -> None:
    document = policy(
        signals=[{"name": "queue", "query": "sum(queue)"}],
        rules=[{"name": "long", "when": {"signal": "queue", "above": 100}, "then": [{"alert": {}}]}],
    )
    events = [{"at": "5m", "scale": {"to": 8}}]
    series = {"series": 600, "perPod": True, "noise": "2%"}
    found = ran(document, signals={"queue": series}, events=events)
    assert [at(found, m).signals["queue"].verdict for m in (4, 10)] == ["Breach", "Ok"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"events": [{"at": "1m", "fault": {"kind": "sad"}}]}, ":5: events[0].fault.kind"),
        (
            {"events": [{"at": "1m", "fault": {"kind": "flap", "down": "0s"}}]},
            "flap needs after and down longer than 0s",
        ),
        ({"events": [{"at": "1m", "clockJump": {}}]}, "events[0].clockJump: needs exactly one of forward and back"),
        ({"events": [{"at": "1m", "hpa": {"min": 2}}]}, "the workload has none: add workload.hpa"),
        ({"events": [{"at": "1m", "hpa": {}}]}, "events[0].hpa: needs min, max or both"),
        (
            {"events": [{"at": "1m", "metricsGone": {"for": "1m", "how": "scrapes", "signals": ["cpu"]}}]},
            "events[0].metricsGone.signals: goes with how: source only",
        ),
        ({"writers": [{"by": "helm", "replicas": 3}]}, "writers[0]: needs exactly one of every and delay"),
        ({"writers": [{"by": "helm", "every": "0s", "replicas": 3}]}, "writers[0]: needs exactly one of every"),
        ({"writers": [{"by": "helm", "every": "1m"}]}, "writers[0]: needs a field to write"),
        ({"workload": {"replicas": 2, "buckets": [1, 0.5]}}, "workload.buckets: bounds must be ascending"),
        ({"workload": {"replicas": 2, "limit": "0%"}}, "workload.limit: is 0%"),
        ({"workload": {"replicas": 2, "hpa": {"min": 5, "max": 3}}}, "workload.hpa.min: min is larger than max"),
        ({"workload": {"replicas": 2, "bursts": {"size": 3, "every": "0s"}}}, "workload.bursts.every: is 0s"),
        ({"workload": {"replicas": 2, "strategy": {"type": "Slow"}}}, "workload.strategy.type"),
        ({"load": {"csv": "none.csv"}}, "cannot read"),
        ({"load": [{"to": 3, "csv": "x.csv"}]}, "load[0]: needs exactly one of to, wave and csv"),
        ({"scrape": "500ms"}, "scrape: is too short"),
        ({"events": [{"at": "1m", "policy": policy(interval="soon")}]}, "events[0].policy.spec.interval"),
        ({"events": [{"at": "1m", "policy": "none.yaml"}]}, "none.yaml"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_wrong_is_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    file = tmp_path / "case.yaml"
    base = {"workload": {"replicas": 1}, "load": 3, "duration": "5m", "policy": policy()}
    file.write_text(yaml.safe_dump({**base, **fields}))
    result = CliRunner().invoke(app, ["test", str(file)])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seconds,value\n", "has no rows"),
        ("1,2\n1,3\n", ":2: times must ascend"),
        ("1,2\nx,3\n", ":2: 'x,3' is not seconds,value"),
        ("1,-2\n", ":1: times must ascend, and values must be 0 or more"),
        ("1,2,3\n2,3\n", "is not seconds,value"),
        ("1,inf\n", "values must be 0 or more"),
    ],
)
def test_a_wrong_trace_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "trace.csv").write_text(text)
    file = tmp_path / "case.yaml"
    file.write_text(
        yaml.safe_dump(
            {"workload": {"replicas": 1}, "load": {"csv": "trace.csv"}, "duration": "5m", "policy": policy()}
        )
    )
    result = CliRunner().invoke(app, ["test", str(file)])
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
