"""Evaluates one rule: for the whole target, and for what counts against the release."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from resilience_operator.decision.analysis.evidence import judge_all, judge_release
from resilience_operator.decision.analysis.verdicts import (
    ConditionResult,
    breach_since,
    evaluate_conditions,
    verdict_of,
)
from resilience_operator.decision.context import EvaluationContext
from resilience_operator.decision.model.members import BREACH, OK
from resilience_operator.decision.model.memory import Memory, RuleMemory, Verdict
from resilience_operator.decision.model.policy import Rule
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.release.attribution import regressed_since_release
from resilience_operator.decision.report import describe
from resilience_operator.decision.scaling.recommendation import base_replicas


@dataclass(slots=True)
class RuleEvaluation:
    """The evaluation of one rule: its new memory, its verdict and the results of its conditions.

    release_verdict, release_results: the same for what counts against the release; None and empty if no release is
    analysed or the rule does not guard releases.
    note: why it did not scale.
    """

    rule: Rule
    memory: RuleMemory
    verdict: Verdict
    results: tuple[ConditionResult, ...]
    release_verdict: Verdict | None = None
    release_results: tuple[ConditionResult, ...] = ()
    note: str = ""

    @property
    def description(self) -> str:
        """The conditions with their values."""
        return describe(self.rule, self.results)

    @property
    def suspect(self) -> bool:
        """Whether the rule is in breach since the release began, without proof that the release is the cause."""
        found = [bool(r.judgement.crossed) or r.judgement.suspect for r in self.release_results]
        holds = any(found) if self.rule.any_of else bool(found) and all(found)
        return holds and self.release_verdict is not BREACH


def evaluate_rule(rule: Rule, context: EvaluationContext) -> RuleEvaluation:
    """Evaluate `rule`. Its memory is the same object if nothing changed, which is the usual case."""
    now, patience, signals = context.now, context.patience, context.signals
    before = _memory_of(rule, context.memory, same_release=context.same_release)
    results = evaluate_conditions(rule, before.timers, signals, judge_all, now, patience)
    verdict = verdict_of(rule, results)
    breach = base = None
    if verdict is not OK:
        breach = breach_since(before.breach, verdict, results, now)
        base = base_replicas(before, breach, results, context.target)
    timers = tuple([r.timer for r in results])
    after = before
    if timers != before.timers or breach != before.breach or base != before.base_replicas:
        after = replace(before, timers=timers, breach=breach, base_replicas=base)
    if not (rule.guards_release and context.analysed):
        if before.release_timers or before.release_breach_since is not None:
            after = replace(after, release_timers=(), release_breach_since=None)
        return RuleEvaluation(rule, after, verdict, results)
    regressed = regressed_since_release(context.release, rule)
    judge = partial(
        judge_release,
        canary=context.canary,
        ok_before=regressed,
        since_release=rule.name in context.release.ok_before,
        after=rule.rollback.after if rule.rollback is not None else 0.0,
    )
    release_results = evaluate_conditions(rule, before.release_timers, signals, judge, now, patience)
    release_verdict = verdict_of(rule, release_results)
    failing_since = breach_since(before.release_breach_since, release_verdict, release_results, now)
    release_timers = tuple([r.timer for r in release_results])
    if release_timers != before.release_timers or failing_since != before.release_breach_since:
        after = replace(after, release_timers=release_timers, release_breach_since=failing_since)
    return RuleEvaluation(rule, after, verdict, results, release_verdict, release_results)


def _memory_of(rule: Rule, memory: Memory, *, same_release: bool) -> RuleMemory:
    """Return the memory of a rule, without timers of other conditions or of another revision."""
    before = memory.rules.get(rule.name) or RuleMemory()
    if before.signature != rule.signature:
        return RuleMemory(signature=rule.signature, scaled=before.scaled)
    if not same_release and (before.release_timers or before.release_breach_since is not None):
        return replace(before, release_timers=(), release_breach_since=None)
    return before
