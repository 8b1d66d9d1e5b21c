"""Checks the expectations of a scenario against the trace of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from resilience_operator.cli.report.model import Kind, TimelineEvent
from resilience_operator.cli.scenario.description import when
from resilience_operator.cli.scenario.expectations import END, STATES, CountRange, Expectation
from resilience_operator.cli.scenario.trace import Moment, Trace
from resilience_operator.decision.model.commands import Verb

_MOST_SHOWN = 4
"""Maximum occurrences or states that a message lists."""


class Check(NamedTuple):
    """The result of one expectation in one run. seen: what happened instead, or as expected."""

    met: bool
    seen: str


class _Span(NamedTuple):
    """A span of time, seconds from the start, both ends included."""

    first: float
    last: float

    def __str__(self) -> str:
        return f"between {when(self.first)} and {when(self.last)}"


def check(expectation: Expectation, trace: Trace) -> Check:
    """Check one expectation."""
    span = _span(expectation, trace)
    if span is None:
        return Check(False, f"{expectation.after} did not happen")
    match expectation.subject:
        case "action":
            return _check_action(expectation, trace, span)
        case "order":
            return _check_order(expectation, trace, span)
        case "rolledBack":
            return _check_rolled_back(expectation, trace, span)
        case subject if subject in STATES:
            return _check_state(expectation, trace, span)
        case "podHours":
            return _check_pod_hours(expectation, trace, span)
        case _:
            return _check_failed_requests(expectation, trace, span)


def _span(e: Expectation, trace: Trace) -> _Span | None:
    first = e.from_
    if e.after is not None:
        start = next((h.at for h in trace.events if e.after in (h.action, h.reason)), None)
        if start is None:
            return None
        first = max(first, start - trace.start)
    last = trace.end if e.until is None else e.until
    return _Span(first, last if e.within is None else first + e.within)


def _occurrences(action: str, trace: Trace, span: _Span) -> Iterator[TimelineEvent]:
    for event in trace.events:
        if (
            event.kind is not Kind.EVENT
            and action in (event.action, event.reason)
            and (span.first <= event.at - trace.start <= span.last)
        ):
            yield event


def _check_action(e: Expectation, trace: Trace, span: _Span) -> Check:
    assert e.action is not None
    found = [
        event
        for event in _occurrences(e.action, trace, span)
        if (e.rule is None or e.rule in event.rules)
        and (e.to is None or str(e.to) == event.to)
        and (e.message is None or e.message.lower() in event.message.lower())
    ]
    seen = _happened([event.at - trace.start for event in found])
    if e.never:
        return Check(not found, seen)
    if e.not_before is not None and any(event.at - trace.start < e.not_before for event in found):
        return Check(False, seen)
    met = bool(found) if e.times is None else e.times.holds(len(found))
    if not met and not found and e.action and (others := list(_occurrences(e.action, trace, span))):
        seen = f"{e.action} did, but otherwise: {_shown(others[0])}"
    return Check(met, seen)


def _shown(event: TimelineEvent) -> str:
    change = f" to {event.to}" if event.to else ""
    rule = f" by {event.rule}" if event.rule else ""
    return f"{event.action}{change}{rule}, {event.message}"


def _happened(times: Sequence[float]) -> str:
    if not times:
        return "it did not happen"
    count = "once" if len(times) == 1 else f"{len(times)} times"
    more = ", …" if len(times) > _MOST_SHOWN else ""
    return f"it happened {count}, at {', '.join(map(when, times[:_MOST_SHOWN]))}{more}"


def _check_order(e: Expectation, trace: Trace, span: _Span) -> Check:
    assert e.order is not None
    events = [h for h in trace.events if h.kind is not Kind.EVENT and span.first <= h.at - trace.start <= span.last]
    wanted = list(e.order)
    for event in events:
        if wanted and wanted[0] in (event.action, event.reason):
            wanted.pop(0)
    names = [event.action for event in events if set(e.order) & {event.action, event.reason}]
    seen = " → ".join(name for name, _ in groupby(names)) or "none of them"
    return Check(not wanted, f"saw {seen}")


def _check_rolled_back(e: Expectation, trace: Trace, span: _Span) -> Check:
    times = [event.at - trace.start for event in _occurrences(Verb.ROLLBACK.value, trace, span)]
    return Check(bool(times) is e.rolled_back, _happened(times))


def _check_state(e: Expectation, trace: Trace, span: _Span) -> Check:
    holds, shown = _state(e)
    moments = _moments(e, trace, span)
    if not moments:
        return Check(False, "there was no evaluation in that time")
    if e.never:
        bad = [m for m in moments if holds(m)]
        return Check(not bad, _states(bad or moments, shown))
    if e.within is not None:
        first = next((m for m in moments if holds(m)), None)
        if first is not None:
            return Check(True, f"{shown(first)} at {when(first.at)}")
        return Check(False, _states(moments, shown))
    bad = [m for m in moments if not holds(m)]
    return Check(not bad, _states(bad or moments, shown))


def _moments(e: Expectation, trace: Trace, span: _Span) -> list[Moment]:
    """The evaluations at which the state is checked. A state holds until the next evaluation."""
    if e.at == END:
        return [trace.moments[-1]]
    if e.at is not None:
        span = _Span(float(e.at), float(e.at))
    before = [m for m in trace.moments if m.at <= span.first]
    within = [m for m in trace.moments if span.first < m.at <= span.last]
    return before[-1:] + within


def _state(e: Expectation) -> tuple[Callable[[Moment], bool], Callable[[Moment], str]]:
    """Whether the expected state holds at an evaluation, and how the state is shown."""
    match e.subject:
        case "phase":
            return (lambda m: m.phase in (e.phase or ())), (lambda m: m.phase.value)
        case "condition":
            return _condition_state(e)
        case "signal":
            return _signal_state(e)
        case "revision":
            return (lambda m: m.target.revision == e.revision), (lambda m: f"revision {m.target.revision}")
        case "paused":
            return (lambda m: m.target.paused is e.paused), (
                lambda m: f"paused by {m.target.paused_by or 'someone'}" if m.target.paused else "not paused"
            )
        case "replicas":
            return _count_state(e.replicas, "replicas", lambda m: m.target.replicas)
        case "ready":
            return _count_state(e.ready, "ready", lambda m: m.target.ready)
        case _:
            return _hpa_state(e.hpa_min)


def _count_state(
    wanted: CountRange | None, name: str, value: Callable[[Moment], int]
) -> tuple[Callable[[Moment], bool], Callable[[Moment], str]]:
    assert wanted is not None
    return (lambda m: wanted.holds(value(m))), (lambda m: f"{value(m)} {name}")


def _hpa_state(wanted: CountRange | None) -> tuple[Callable[[Moment], bool], Callable[[Moment], str]]:
    assert wanted is not None
    return (lambda m: m.target.hpa is not None and wanted.holds(m.target.hpa.min_replicas)), (
        lambda m: "no HPA" if m.target.hpa is None else f"minReplicas {m.target.hpa.min_replicas}"
    )


def _condition_state(e: Expectation) -> tuple[Callable[[Moment], bool], Callable[[Moment], str]]:
    wanted = e.condition
    assert wanted is not None

    def holds(m: Moment) -> bool:
        found = m.conditions[wanted.type]
        return (
            wanted.status in (None, found.status)
            and wanted.reason in (None, found.reason)
            and (e.message is None or e.message.lower() in found.message.lower())
        )

    def shown(m: Moment) -> str:
        found = m.conditions[wanted.type]
        return f"{wanted.type.value}={found.status} {found.reason}" + (f" ({found.message})" if e.message else "")

    return holds, shown


def _signal_state(e: Expectation) -> tuple[Callable[[Moment], bool], Callable[[Moment], str]]:
    wanted = e.signal
    assert wanted is not None

    def holds(m: Moment) -> bool:
        found = m.signals.get(wanted.name)
        return (
            found is not None
            and wanted.verdict in (None, found.verdict)
            and wanted.reason in (None, found.reason)
            and (e.message is None or e.message.lower() in found.message.lower())
        )

    def shown(m: Moment) -> str:
        found = m.signals.get(wanted.name)
        if found is None:
            return f"no rule reads {wanted.name}"
        return f"{wanted.name} {found.verdict.value} {found.reason}".rstrip()

    return holds, shown


def _states(moments: Sequence[Moment], shown: Callable[[Moment], str]) -> str:
    """The states in order of time, each with the time at which it begins."""
    changes: list[tuple[str, float]] = []
    for moment in moments:
        state = shown(moment)
        if not changes or changes[-1][0] != state:
            changes.append((state, moment.at))
    more = ", …" if len(changes) > _MOST_SHOWN else ""
    return ", ".join(f"{state} at {when(at)}" for state, at in changes[:_MOST_SHOWN]) + more


def _check_pod_hours(e: Expectation, trace: Trace, span: _Span) -> Check:
    assert e.pod_hours is not None
    hours = 0.0
    ends = [m.at for m in trace.moments[1:]] + [trace.end + trace.interval]
    for moment, end in zip(trace.moments, ends, strict=True):
        if span.first <= moment.at <= span.last:
            hours += moment.pods * (end - moment.at) / 3600
    low, high = e.pod_hours.min, e.pod_hours.max
    met = (low is None or hours >= low) and (high is None or hours <= high)
    return Check(met, f"{hours:.1f} pod-hours")


def _check_failed_requests(e: Expectation, trace: Trace, span: _Span) -> Check:
    assert e.failed_requests is not None
    within = [m for m in trace.moments if span.first <= m.at <= span.last]
    if not within:
        return Check(False, "there was no evaluation in that time")
    total = within[-1].requests.total - within[0].requests.total
    failed = within[-1].requests.failed - within[0].requests.failed
    share = failed / total if total else 0.0
    low, high = e.failed_requests.min, e.failed_requests.max
    met = (low is None or share >= low.value) and (high is None or share <= high.value)
    return Check(met, f"{share:.2%} of {total:.0f} requests failed")
