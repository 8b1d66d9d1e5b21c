"""Runs a scenario with one seed: the service, the events, and the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from resilience_operator.cli.common.policy_loader import load_policy
from resilience_operator.cli.report.model import ReportBuilder, RunReport
from resilience_operator.cli.scenario.environment import DAY, START, SimulatedEnvironment
from resilience_operator.cli.scenario.model import Scenario
from resilience_operator.cli.scenario.trace import Trace, TraceBuilder
from resilience_operator.simulation.engine import simulate
from resilience_operator.simulation.workload import steady_workload


@dataclass(frozen=True, slots=True)
class ScenarioRun:
    """The result of one run: the report for people, and the trace that expectations are checked against."""

    report: RunReport
    trace: Trace


def run(scenario: Scenario, document: Mapping[str, Any], title: str) -> ScenarioRun:
    """Run the scenario with its seed. Raises InvalidPolicy."""
    entry, policy = load_policy(document)
    service = scenario.workload
    workload = replace(
        steady_workload(
            service.replicas, service.revision, START, age=max(DAY, 2 * policy.release.bake), startup=service.startup
        ),
        name=entry.target[2],
        namespace=policy.namespace,
        kind=entry.target[0],
    )
    environment = SimulatedEnvironment(scenario, entry.signals)
    environment.warm_up(workload, policy.window, policy.interval)
    builder = ReportBuilder(policy)
    trace = TraceBuilder(START, any(e.condition is not None for e in scenario.expect))
    for judged, step in simulate(policy, workload, environment, START, START + scenario.duration):
        builder.add(step, judged.replicas)
        trace.add(step, len(judged.pods), environment.requests)
    report = builder.report(title, events=environment.events, relative=True)
    return ScenarioRun(report, trace.trace(report.events, policy.interval))
