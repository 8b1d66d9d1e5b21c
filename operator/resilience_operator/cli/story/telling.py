"""A story in words and numbers: the rows of a table, a document, a closing line."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from resilience_operator.api.base import format_timestamp
from resilience_operator.api.quantities import format_duration
from resilience_operator.cli.console import Cell
from resilience_operator.cli.story.story import Happening, Kind, Story
from resilience_operator.decision.model.memory import Verdict

HEADERS = ("WHEN", "WHAT", "CHANGE", "RULE", "WHY")
_STYLES = {Kind.DECISION: "bold", Kind.NOTICE: "", Kind.EVENT: "cyan"}


def when(story: Story, at: float) -> str:
    """A time of the story for people: `+20m15s` from a start that means nothing, else the date and time in UTC."""
    if story.relative:
        return f"+{format_duration(round(at - story.start))}"
    return format_timestamp(datetime.fromtimestamp(round(at), UTC)).replace("T", " ")


def rows(story: Story) -> list[list[Cell]]:
    """One row for each thing that happened."""
    return [_row(story, happening) for happening in story.happenings]


def _row(story: Story, h: Happening) -> list[Cell]:
    style = _STYLES[h.kind]
    if h.warning:
        style = f"{style} {'red' if h.kind is Kind.DECISION else 'yellow'}".strip()
    change = f"{h.from_} → {h.to}" if h.from_ != h.to else h.to
    what = f"({h.action})" if h.kind is Kind.NOTICE else h.action
    return [Cell(when(story, h.at)), Cell(what, style), Cell(change), Cell(h.rule), Cell(h.message)]


def summary(story: Story) -> str:
    """The whole in one line."""
    counts = Counter(h.action for h in story.decisions)
    done = ", ".join(f"{count} {action}" for action, count in counts.items()) or "nothing was done"
    unknown = sum(Verdict.UNKNOWN in look.verdicts for look in story.looks)
    sizes = [look.wanted for look in story.looks]
    parts = [
        f"{len(story.looks)} looks in {format_duration(round(story.end - story.start + story.policy.interval))}",
        done,
        f"{min(sizes)} to {max(sizes)} pods" if min(sizes) != max(sizes) else f"{sizes[0]} pods throughout",
    ]
    if unknown:
        parts.append(f"some signal was unknown in {unknown / len(story.looks):.1%} of the looks")
    return f"{story.title}: {'; '.join(parts)}"


def document(story: Story) -> dict[str, Any]:
    """The story for scripts. Times are RFC 3339; `offset` is in seconds from the start."""
    return {
        "title": story.title,
        "policy": {"namespace": story.policy.namespace, "name": story.policy.name},
        "from": _timestamp(story.start),
        "to": _timestamp(story.end),
        "interval": format_duration(story.policy.interval),
        "looks": len(story.looks),
        "unknown": {
            name: sum(look.verdicts[i] is Verdict.UNKNOWN for look in story.looks)
            for i, name in enumerate(story.signals)
        },
        "pods": {
            "least": min(look.wanted for look in story.looks),
            "most": max(look.wanted for look in story.looks),
        },
        "decisions": [_entry(story, h) for h in story.decisions],
        "notices": [_entry(story, h) for h in story.happenings if h.kind is Kind.NOTICE],
        "events": [_entry(story, h) for h in story.happenings if h.kind is Kind.EVENT],
        "phases": _phases(story),
        "notes": list(story.notes),
    }


def _entry(story: Story, h: Happening) -> dict[str, Any]:
    found: dict[str, Any] = {"at": _timestamp(h.at), "offset": round(h.at - story.start, 3), "action": h.action}
    optional = {"rule": h.rule, "from": h.from_, "to": h.to, "reason": h.reason}
    return {**found, **{key: value for key, value in optional.items() if value}, "message": h.message}


def _phases(story: Story) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before: tuple[object, object] | None = None
    for look in story.looks:
        if (now := (look.phase, look.revision)) != before:
            before = now
            found.append({"at": _timestamp(look.at), "phase": look.phase.value, "revision": look.revision})
    return found


def _timestamp(at: float) -> str:
    return format_timestamp(datetime.fromtimestamp(at, UTC))
