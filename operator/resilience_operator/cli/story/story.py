"""A story: what was looked at, what was judged, what was done, in order of time."""

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
class Happening:
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


class Look(NamedTuple):
    """One evaluation. values and verdicts are in the order of the story's signals; a value is None when unknown.

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
class Story:
    """A whole run. relative: times are told as distances from the start, since the clock means nothing in it."""

    title: str
    policy: Policy
    # A week of looks has no place in a repr, which asyncio makes of a task's result behind one's back.
    looks: Sequence[Look] = field(repr=False)
    happenings: Sequence[Happening] = field(repr=False)
    relative: bool = False
    notes: tuple[str, ...] = ()

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals' names."""
        return tuple(self.policy.signals)

    @property
    def start(self) -> float:
        """Seconds since the epoch."""
        return self.looks[0].at

    @property
    def end(self) -> float:
        """Seconds since the epoch."""
        return self.looks[-1].at

    @property
    def decisions(self) -> tuple[Happening, ...]:
        """What was done, or would have been."""
        return tuple(h for h in self.happenings if h.kind is Kind.DECISION)


@dataclass(slots=True)
class Teller:
    """Listens to a run, turn by turn, and makes the story of it."""

    policy: Policy
    looks: list[Look] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)

    def hear(self, turn: EvaluationStep, replicas: int) -> None:
        """One more evaluation. replicas: as they really are."""
        decision = turn.decision
        reports = {report.name: report for report in decision.signals}
        found = [reports.get(name) for name in self.policy.signals]
        release = turn.memory.release
        assert release is not None
        self.looks.append(
            Look(
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
            self.happenings += (_decided(turn.at, outcome) for outcome in turn.outcomes)
            self.happenings += (_told(turn.at, notice) for notice in decision.notices)

    def story(
        self, title: str, *, events: Iterable[Happening] = (), relative: bool = False, notes: Iterable[str] = ()
    ) -> Story:
        """The whole, with what happened to the target besides."""
        # Stable: what the world did stands before what the policy made of it.
        happenings = sorted((*events, *self.happenings), key=lambda h: h.at)
        return Story(title, self.policy, self.looks, happenings, relative, tuple(notes))


def _decided(at: float, outcome: Outcome) -> Happening:
    command = outcome.command
    return Happening(
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


def _told(at: float, notice: Notice) -> Happening:
    rule = notice.key.removeprefix("alert/") if notice.key.startswith("alert/") else ""
    return Happening(at, Kind.NOTICE, notice.reason, notice.message, notice.reason, rule, warning=notice.warning)
