"""Builds the whole explanation of a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resilience_operator.api.base import to_epoch
from resilience_operator.decision.scaling.need import Need
from resilience_operator.explain.blockers import blockers
from resilience_operator.explain.capacity import capacity, capacity_document, need
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.evidence import evidence_document
from resilience_operator.explain.health import PolicyHealth, health_of
from resilience_operator.explain.rules import RuleExplained, explain_rule
from resilience_operator.explain.scale_down import scale_down
from resilience_operator.explain.target import describe_target


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of a policy, in sentences."""

    name: str
    mode: str
    health: PolicyHealth
    target: tuple[str, ...]
    blockers: tuple[str, ...]
    rules: tuple[RuleExplained, ...]
    scale_down: tuple[str, ...]
    last: str
    capacity: tuple[str, ...] = ()
    need: Need | None = None


def explain(facts: ExplainContext, unread: str = "") -> Explanation:
    """Explain a policy. unread: why its target could not be read, or empty."""
    last = facts.status.last_decision
    decided = ""
    if last is not None:
        dry_run = " (dry run)" if last.dry_run else ""
        decided = f"{last.action}{dry_run}, {facts.ago(to_epoch(last.at))} ago: {last.message}"
    policy, found = facts.policy, need(facts)
    return Explanation(
        f"{policy.namespace}/{policy.name}",
        policy.mode.value,
        health_of(facts.status, policy.generation),
        tuple(describe_target(facts)),
        tuple(blockers(facts, unread)),
        tuple(explain_rule(rule, facts) for rule in policy.rules),
        tuple(scale_down(facts)),
        decided,
        tuple(capacity(found, facts)),
        found,
    )


def document(e: Explanation) -> dict[str, Any]:
    """Return the explanation as JSON."""
    return {
        "name": e.name,
        "mode": e.mode,
        "state": e.health.word,
        "why": e.health.why,
        "target": list(e.target),
        "blockers": list(e.blockers),
        "rules": [_rule(rule) for rule in e.rules],
        "scaleDown": list(e.scale_down),
        "capacity": capacity_document(e.need),
        "lastDecision": e.last,
    }


def _rule(rule: RuleExplained) -> dict[str, Any]:
    return {
        "name": rule.name,
        "verdict": rule.verdict.value,
        "actsWhen": rule.acts_when,
        "does": rule.does,
        "readings": list(rule.readings),
        "then": list(rule.then),
        "evidence": [evidence_document(found) for found in rule.evidence],
    }
