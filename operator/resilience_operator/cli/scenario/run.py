"""Runs a scenario with one seed: the service, the events, and the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from resilience_operator.cli.common.policy_loader import load_policy
from resilience_operator.cli.report.model import ReportBuilder, RunReport
from resilience_operator.cli.scenario.environment import DAY, START, SimulatedEnvironment, with_listed_pods
from resilience_operator.cli.scenario.model import Scenario
from resilience_operator.cli.scenario.policies import policy_document
from resilience_operator.cli.scenario.trace import Trace, TraceBuilder
from resilience_operator.cli.scenario.workload_model import AutoscalerModel
from resilience_operator.decision.model.commands import Result
from resilience_operator.decision.model.memory import Memory, Phase
from resilience_operator.decision.model.policy import Mode, Policy
from resilience_operator.decision.model.target import HorizontalPodAutoscaler
from resilience_operator.signals.presets.models import Families, load_families
from resilience_operator.simulation.engine import evaluate
from resilience_operator.simulation.workload import Workload, steady_workload


@dataclass(frozen=True, slots=True)
class ScenarioRun:
    """The result of one run: the report for people, and the trace that expectations are checked against."""

    report: RunReport
    trace: Trace


def run(scenario: Scenario, document: Mapping[str, Any], title: str, folder: str = ".") -> ScenarioRun:
    """Run the scenario with its seed. folder: of the files that it names. Raises InvalidPolicy."""
    entry, policy = load_policy(document)
    workload = _workload(scenario, policy, entry.target[0], entry.target[2])
    environment = SimulatedEnvironment(
        scenario, entry.compiled.signals, _families(), entry.compiled.preset_family, folder
    )
    environment.warm_up(workload, policy.window)
    happenings = environment.happenings
    builder = ReportBuilder(policy)
    trace = TraceBuilder(START, any(e.condition is not None for e in scenario.expect))
    memory, now, end = Memory(), START, START + scenario.duration
    result = Result.DRY_RUN if policy.mode is Mode.DRY_RUN else Result.DONE
    while now < end:
        workload = environment.advance(workload, now)
        if happenings.down > now:
            now = happenings.down
            continue
        if happenings.policy is not None:
            entry, policy = load_policy(policy_document(happenings.policy, folder))
            environment.use(entry.compiled.signals, entry.compiled.preset_family)
            happenings.policy = None
        watched = memory.release is not None and memory.release.phase is not Phase.STABLE
        workload = with_listed_pods(workload, watched)
        target = workload.state(now)
        clock = now + happenings.clock
        observations = environment.observe(workload, target, clock, watched)
        step = evaluate(policy, observations, target, memory, clock, result)
        builder.add(step, workload.replicas, now)
        trace.add(step, now, len(workload.pods), environment.requests)
        if result is Result.DONE:
            for command in step.decision.commands:
                workload = workload.apply(command, now)
        memory, wake = step.memory, step.decision.wake
        now = now + policy.interval if wake is None else min(now + policy.interval, wake - happenings.clock)
    report = builder.report(title, events=happenings.events, relative=True)
    return ScenarioRun(report, trace.trace(report.events, policy.interval))


def _workload(scenario: Scenario, policy: Policy, kind: str, name: str) -> Workload:
    service = scenario.workload
    age = max(DAY, 2 * policy.release.bake)
    workload = steady_workload(
        service.replicas, service.revision, START, age=age, startup=service.startup, name=name, kind=kind
    )
    hpa = service.hpa
    return replace(
        workload,
        namespace=policy.namespace,
        strategy=service.simulated_strategy(),
        deadline=service.progress_deadline,
        nodes=service.nodes,
        quota=service.quota,
        hpa=None if hpa is None else _autoscaler(name, hpa),
    )


def _autoscaler(name: str, hpa: AutoscalerModel) -> HorizontalPodAutoscaler:
    scaled_object = name if hpa.owner == "KEDA" else ""
    return HorizontalPodAutoscaler(name, "1", hpa.min, hpa.max, owner=hpa.owner, scaled_object=scaled_object)


@cache
def _families() -> Families:
    return load_families()
