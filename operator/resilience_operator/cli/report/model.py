"""A report: what was looked at, what was judged, what was done, in order of time."""

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
    """What kind of thing happened: the policy decided, the policy told people, or the world changed by itself."""

    DECISION = "decision"
    NOTICE = "notice"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened. action: the verb, the notice's reason, or the event's kind."""

    at: float
    kind: Kind
    action: str
    message: str
    reason: str = ""
    rule: str = ""
    from_: str = ""
    to: str = ""
    warning: bool = False


class EvaluationSample(NamedTuple):
    """One evaluation. values and verdicts are in the order of the report's signals; a value is None when unknown.

    replicas: as they really were. wanted: as they would be, had the policy's commands been carried out.
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
    """A whole run. relative: times are told as distances from the start, since the clock means nothing in it."""

    title: str
    policy: Policy
    # A week of looks has no place in a repr, which asyncio makes of a task's result behind one's back.
    samples: Sequence[EvaluationSample] = field(repr=False)
    events: Sequence[TimelineEvent] = field(repr=False)
    relative: bool = False
    notes: tuple[str, ...] = ()

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals' names."""
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
        """What was done, or would have been."""
        return tuple(h for h in self.events if h.kind is Kind.DECISION)


@dataclass(slots=True)
class ReportBuilder:
    """Listens to a run, turn by turn, and makes the report of it."""

    policy: Policy
    samples: list[EvaluationSample] = field(default_factory=list)
    events: list[TimelineEvent] = field(default_factory=list)

    def add(self, turn: EvaluationStep, replicas: int) -> None:
        """One more evaluation. replicas: as they really are."""
        decision = turn.decision
        reports = {report.name: report for report in decision.signals}
        found = [reports.get(name) for name in self.policy.signals]
        release = turn.memory.release
        assert release is not None
        self.samples.append(
            EvaluationSample(
                turn.at,
                tuple(None if r is None else r.value for r in found),
                tuple(Verdict.UNKNOWN if r is None else r.verdict for r in found),
                replicas,
                decision.target.replicas,
                decision.target.ready,
                release.phase,
                release.revision,
            )
        )
        if not turn.quiet:
            self.events += (_from_outcome(turn.at, outcome) for outcome in turn.outcomes)
            self.events += (_from_notice(turn.at, notice) for notice in decision.notices)

    def report(
        self, title: str, *, events: Iterable[TimelineEvent] = (), relative: bool = False, notes: Iterable[str] = ()
    ) -> RunReport:
        """The whole, with what happened to the target besides."""
        # Stable: what the world did stands before what the policy made of it.
        happenings = sorted((*events, *self.events), key=lambda h: h.at)
        return RunReport(title, self.policy, self.samples, happenings, relative, tuple(notes))


def _from_outcome(at: float, outcome: Outcome) -> TimelineEvent:
    command = outcome.command
    return TimelineEvent(
        at,
        Kind.DECISION,
        command.verb.value,
        command.message,
        reason=command.reason,
        rule=command.rule,
        from_="" if command.from_ is None else str(command.from_),
        to="" if command.to is None else str(command.to),
        warning=command.verb in (Verb.PAUSE, Verb.ROLLBACK),
    )


def _from_notice(at: float, notice: Notice) -> TimelineEvent:
    rule = notice.key.removeprefix("alert/") if notice.key.startswith("alert/") else ""
    return TimelineEvent(at, Kind.NOTICE, notice.reason, notice.message, notice.reason, rule, warning=notice.warning)
