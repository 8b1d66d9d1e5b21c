"""Expectations as phrases, for reports."""

from __future__ import annotations

from collections.abc import Callable

from resilience_operator.api.quantities import format_duration, format_value
from resilience_operator.cli.scenario.expectations import END, STATES, Expectation


def describe(expectation: Expectation) -> str:
    """The expectation as a phrase, like `rollback by failing-release between 10m and 13m`."""
    if expectation.name:
        return expectation.name
    parts = [_subject(expectation)]
    if expectation.subject in STATES:
        parts.append(_state_time(expectation))
    else:
        parts.append(_frequency(expectation))
        parts.append(_time(expectation))
    if expectation.seeds.value < 1:
        parts.append(f"in {format_value(expectation.seeds.value, 'ratio')} of the seeds")
    return " ".join(part for part in parts if part)


def when(seconds: float) -> str:
    """A time of a run, as the offset from its start: `+10m`."""
    return f"+{format_duration(round(seconds))}"


def _subject(e: Expectation) -> str:
    match e.subject:
        case "action":
            parts = [e.action, f"to {e.to}" if e.to is not None else "", f"by {e.rule}" if e.rule else ""]
            parts.append(f"saying {e.message!r}" if e.message else "")
            return " ".join(part for part in parts if part)
        case "order":
            return " → ".join(e.order or ())
        case "rolledBack":
            return "rolled back" if e.rolled_back else "not rolled back"
        case "phase":
            return f"phase {' or '.join(p.value for p in e.phase or ())}"
        case "condition":
            assert e.condition is not None
            return " ".join(part for part in (e.condition.type.value, e.condition.status, e.condition.reason) if part)
        case "signal":
            assert e.signal is not None
            verdict = e.signal.verdict.value if e.signal.verdict else None
            return " ".join(part for part in (e.signal.name, verdict, e.signal.reason) if part)
        case "revision":
            return f"revision {e.revision}"
        case "paused":
            return "paused" if e.paused else "not paused"
        case _:
            return _amounts(e)


def _amounts(e: Expectation) -> str:
    match e.subject:
        case "replicas":
            return f"{e.replicas} replicas"
        case "ready":
            return f"{e.ready} ready"
        case "hpaMin":
            return f"minReplicas {e.hpa_min}"
        case "podHours":
            assert e.pod_hours is not None
            return f"pod-hours {_bounds(e.pod_hours.min, e.pod_hours.max, '{:g}'.format)}"
        case _:
            assert e.failed_requests is not None
            low, high = (None if t is None else t.value for t in (e.failed_requests.min, e.failed_requests.max))
            return f"failed requests {_bounds(low, high, lambda v: format_value(v, 'ratio'))}"


def _bounds(low: float | None, high: float | None, show: Callable[[float], str]) -> str:
    parts = [f"at least {show(low)}" if low is not None else "", f"at most {show(high)}" if high is not None else ""]
    return " and ".join(part for part in parts if part)


def _frequency(e: Expectation) -> str:
    if e.subject != "action":
        return ""
    if e.never or (e.times is not None and e.times.max == 0):
        return "never"
    if e.times is None:
        return "at least once"
    return "once" if (e.times.min, e.times.max) == (1, 1) else f"{e.times} times"


def _time(e: Expectation) -> str:
    parts = []
    if e.within is not None:
        parts.append(f"within {format_duration(e.within)}")
        if e.after is not None:
            parts.append(f"after {e.after}")
        elif e.from_:
            parts.append(f"after {when(e.from_)}")
    elif e.from_ or e.until is not None or e.after is not None:
        parts.append(f"from {e.after or when(e.from_)}")
        if e.until is not None:
            parts.append(f"until {when(e.until)}")
    if e.not_before is not None:
        parts.append(f"not before {when(e.not_before)}")
    return " ".join(parts)


def _state_time(e: Expectation) -> str:
    if e.at is not None:
        return "at the end" if e.at == END else f"at {when(float(e.at))}"
    if e.never:
        return f"never {_time(e)}".strip()
    if e.within is not None:
        return _time(e)
    return f"always {_time(e)}".strip()
