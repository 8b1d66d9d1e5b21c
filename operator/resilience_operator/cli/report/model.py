"""The report of a run: evaluations, verdicts and events in order of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from resilience_operator.decision.model.commands import Notice, Outcome, Verb
from resilience_operator.decision.model.memory import Phase, Verdict
from resilience_operator.decision.model.policy import Policy
from resilience_operator.simulation.engine import EvaluationStep


class Kind(StrEnum):
    """The kind of an event: a decision of the policy, a notice of the policy, or an external change."""

    DECISION = "decision"
    NOTICE = "notice"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """An event in the report. action: the verb, the notice's reason, or the event's kind."""

    at: float
    kind: Kind
    action: str
    message: str
    reason: str = ""
    rules: tuple[str, ...] = ()
    from_: str = ""
    to: str = ""
    warning: bool = False

    @property
    def rule(self) -> str:
        """The names of the rules, joined by `, `."""
        return ", ".join(self.rules)


class EvaluationSample(NamedTuple):
    """One evaluation. values and verdicts are in the order of the report's signals; an unknown value is None.

    replicas: the actual number. wanted: the number if the policy's commands had been executed.
    """

    at: float
    values: tuple[float | None, ...]
    verdicts: tuple[Verdict, ...]
    replicas: int
    wanted: int
    ready: int
    phase: Phase
    revision: str | None


@dataclass(frozen=True, slots=True)
class RunReport:
    """A whole run. relative: times are shown as offsets from the start, because the absolute time has no meaning."""

    title: str
    policy: Policy
    # Not in the repr, which asyncio creates of task results: a week of evaluations is large.
    samples: Sequence[EvaluationSample] = field(repr=False)
    events: Sequence[TimelineEvent] = field(repr=False)
    relative: bool = False
    notes: tuple[str, ...] = ()

    @property
    def signals(self) -> tuple[str, ...]:
        """The names of the signals."""
        return tuple(self.policy.signals)

    @property
    def start(self) -> float:
        """Seconds since the epoch."""
        return self.samples[0].at

    @property
    def end(self) -> float:
        """Seconds since the epoch."""
        return self.samples[-1].at

    @property
    def decisions(self) -> tuple[TimelineEvent, ...]:
        """The decisions, executed or simulated."""
        return tuple(h for h in self.events if h.kind is Kind.DECISION)


@dataclass(slots=True)
class ReportBuilder:
    """Builds the report of a run from its evaluations."""

    policy: Policy
    samples: list[EvaluationSample] = field(default_factory=list)
    events: list[TimelineEvent] = field(default_factory=list)

    def add(self, step: EvaluationStep, replicas: int, at: float | None = None) -> None:
        """Add one evaluation. replicas: the actual number. at: the time, if the operator's clock is wrong."""
        at = step.at if at is None else at
        decision = step.decision
        reports = {report.name: report for report in decision.signals}
        found = [reports.get(name) for name in self.policy.signals]
        release = step.memory.release
        assert release is not None
        self.samples.append(
            EvaluationSample(
                at,
                tuple(None if r is None else r.value for r in found),
                tuple(Verdict.UNKNOWN if r is None else r.verdict for r in found),
                replicas,
                decision.target.replicas,
                decision.target.ready,
                release.phase,
                release.revision,
            )
        )
        if not step.quiet:
            self.events += (_from_outcome(at, outcome) for outcome in step.outcomes)
            self.events += (_from_notice(at, notice) for notice in decision.notices)

    def report(
        self, title: str, *, events: Iterable[TimelineEvent] = (), relative: bool = False, notes: Iterable[str] = ()
    ) -> RunReport:
        """The complete report, with the external events of the target."""
        # A stable sort, so that external events precede the policy's reaction to them.
        events_in_order = sorted((*events, *self.events), key=lambda h: h.at)
        return RunReport(title, self.policy, self.samples, events_in_order, relative, tuple(notes))


def _from_outcome(at: float, outcome: Outcome) -> TimelineEvent:
    command = outcome.command
    return TimelineEvent(
        at,
        Kind.DECISION,
        command.verb.value,
        command.message,
        reason=command.reason,
        rules=command.rules,
        from_="" if command.from_ is None else str(command.from_),
        to="" if command.to is None else str(command.to),
        warning=command.verb in (Verb.PAUSE, Verb.ROLLBACK),
    )


def _from_notice(at: float, notice: Notice) -> TimelineEvent:
    rules = (notice.key.removeprefix("alert/"),) if notice.key.startswith("alert/") else ()
    return TimelineEvent(at, Kind.NOTICE, notice.reason, notice.message, notice.reason, rules, warning=notice.warning)
