"""Orders to lift quarantines, in an annotation of a policy: they survive restarts and say who gave them.

resilience-operator.io/released-revisions: '[{"revision": "6d4f", "at": "2026-01-31T12:00:00Z", "by": "ann"}]'

An order ends quarantines that began before it. A later one of the same revision is not affected, so an order that is
kept has no further effect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from .base import to_epoch
from .pause import moment_text
from .text import cut, one_line

RELEASED = "resilience-operator.io/released-revisions"

MAX_LIFTS = 10
"""Orders that are kept, the newest last: as many as there are quarantined revisions at most."""

MAX_NAME = 253
"""Maximum bytes of a revision's name, and of a user's."""

MAX_TEXT = 16384
"""Maximum characters of the annotation, which is read with each change of the policy."""

EXAMPLE = '[{"revision": "6d4f", "at": "2026-01-31T12:00:00Z", "by": "ann"}]'


class Lift(NamedTuple):
    """A person's order to lift the quarantine of `revision` if it began before `at`. by: who gave it, or empty."""

    revision: str
    at: float
    by: str = ""


def read_lifts(annotations: Mapping[str, object] | None) -> tuple[tuple[Lift, ...], str]:
    """Return the orders in a policy's annotations, and what is wrong with them; empty if nothing is.

    Entries that can be read count, whatever is wrong with the others.
    """
    text = annotations.get(RELEASED) if annotations else None
    if text is None:
        return (), ""
    if len(str(text)) > MAX_TEXT:
        return (), f"the annotation {RELEASED} has more than {MAX_TEXT} characters: keep the newest orders only"
    try:
        entries = json.loads(str(text))
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        return (), f"the annotation {RELEASED} is not a JSON list like {EXAMPLE}"
    found, bad = [], 0
    for entry in entries:
        lift = _lift(entry)
        if lift is None:
            bad += 1
        else:
            found.append(lift)
    problem = f"{bad} of {len(entries)} entries of the annotation {RELEASED} are not like {EXAMPLE}" if bad else ""
    return tuple(found[-MAX_LIFTS:]), problem


def lifts_text(lifts: Sequence[Lift]) -> str:
    """Return the annotation's value for these orders; the newest ones if they are too many."""
    entries = [{"revision": x.revision, "at": moment_text(x.at), "by": x.by} for x in lifts[-MAX_LIFTS:]]
    return json.dumps(entries)


def _lift(entry: object) -> Lift | None:
    if not isinstance(entry, dict):
        return None
    revision, at, by = entry.get("revision"), entry.get("at"), entry.get("by", "")
    if not (isinstance(revision, str) and revision and isinstance(at, str) and isinstance(by, str)):
        return None
    try:
        moment = datetime.fromisoformat(at.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return Lift(cut(one_line(revision.strip()), MAX_NAME), to_epoch(moment), cut(one_line(by.strip()), MAX_NAME))
