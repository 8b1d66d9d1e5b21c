"""Release analysis: summarizes what the evaluated rules show about the release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resilience_operator.decision.analysis.rules import RuleEvaluation
from resilience_operator.decision.model.members import BREACH, OK, PENDING, UNKNOWN
from resilience_operator.decision.model.memory import ReleaseMemory, Verdict
from resilience_operator.decision.release.attribution import mark_attributed, mark_shared
from resilience_operator.decision.release.remediation import ReleaseFinding


@dataclass(slots=True)
class ReleaseAnalysis:
    """The release, and a finding for each rule that guards it.

    measured: no rule is Unknown. clean: no threshold is crossed, whatever the cause.
    attributed_signals: signals whose crossing counts against the release.
    """

    release: ReleaseMemory
    findings: Sequence[ReleaseFinding]
    measured: bool
    clean: bool
    attributed_signals: frozenset[str] = frozenset()


def analyse(release: ReleaseMemory, evaluations: Sequence[RuleEvaluation]) -> ReleaseAnalysis:
    """Return the findings of the rules that guard `release`."""
    findings: list[ReleaseFinding] = []
    signals: set[str] = set()
    measured = clean = True
    for evaluation in evaluations:
        rule, verdict = evaluation.rule, evaluation.release_verdict
        if verdict is None:
            continue
        release = mark_shared(release, rule, evaluation.verdict, evaluation.release_results)
        if evaluation.memory.release_breach_since is not None:
            release = mark_attributed(release, rule)
        suspect = evaluation.suspect
        measured = measured and verdict is not UNKNOWN
        clean = clean and verdict is OK and not suspect and evaluation.verdict not in (PENDING, BREACH)
        if verdict in (PENDING, BREACH):
            signals.update([r.condition.signal for r in evaluation.release_results if r.judgement.crossed])
        findings.append(_finding(evaluation, verdict, suspect=suspect))
    return ReleaseAnalysis(release, findings, measured, clean, frozenset(signals))


def _finding(evaluation: RuleEvaluation, verdict: Verdict, *, suspect: bool) -> ReleaseFinding:
    results = evaluation.release_results
    ok_since = unknown_since = None
    if verdict is OK:
        ok_since = max([r.timer.since for r in results])
    elif verdict is UNKNOWN:
        unknown_since = min([r.timer.unknown for r in results if r.timer.unknown is not None], default=None)
    failing_since = evaluation.memory.release_breach_since
    return ReleaseFinding(
        evaluation.rule, verdict, failing_since, results, "", ok_since, unknown_since, suspect=suspect
    )
