"""What must hold at every moment, and what must hold of the whole account. Each says how often it was checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.chaos.crowd import MAX, MIN, Crowd
from tests.chaos.witness import Account, Key, Seen, Told

OPERATOR = "system:serviceaccount:resilience-system:resilience-operator"

BOUNDS = "replicas are within their bounds"
EVIDENCE = "nothing is paused or rolled back but what was declared bad"
ONCE = "no decision stands in the history twice"
SAME = "what was done and what was told are the same"
EVENTS = "each action was told by one event at most"
ALLOWED = "no call of the operator was forbidden"
REST = "in the end all are ready, at rest, unpaused, and run a good image"


class Invariants:
    """Counts checks and keeps violations, in words."""

    def __init__(self, crowd: Crowd) -> None:
        self.checks: Counter[str] = Counter()
        self.violations: list[str] = []
        self._crowd = crowd

    def check(self, name: str, holds: bool, what: str) -> None:
        """One check."""
        self.checks[name] += 1
        if not holds and (said := f"{name}: {what}") not in self.violations:
            self.violations.append(said)

    def look(self, key: Key, status: dict[str, Any]) -> None:
        """Checks of one policy's history, at each look at it."""
        actions = [(e["at"], e["action"]) for e in status.get("history", ())]
        self.check(ONCE, len(actions) == len(set(actions)), f"{key}: {actions}")
        # A version is released once, so it is paused and rolled back at most once.
        judged = [(e["action"], e.get("from")) for e in status.get("history", ()) if e["action"] in _JUDGED]
        self.check(ONCE, len(judged) == len(set(judged)), f"{key}: {judged}")

    def account(self, account: Account) -> None:
        """Checks of all that was witnessed, once the witness has stopped."""
        for key, target in self._crowd.by_key.items():
            done = account.done.get(key, [])
            for _, after in done:
                self.check(BOUNDS, MIN <= after.replicas <= MAX, f"{key} had {after.replicas}")
            for told in account.told.get(key, ()):
                if told.action in _JUDGED:
                    tag = account.tags[key].get(told.from_, "?")
                    self.check(EVIDENCE, tag in target.bad, f"{key}: {told.action} of version {tag} at {told.at}")
            if key not in account.gaps:
                was, said = Counter(_actions(done)), Counter(_short(t) for t in account.told.get(key, ()))
                self.check(SAME, was == said, f"{key}: done {dict(was - said)}, told {dict(said - was)}")

    def events(self, events: Iterable[dict[str, Any]], account: Account) -> None:
        """At most one event for each action on each of the two objects."""
        counted: Counter[tuple[Key, str, str]] = Counter()
        for event in events:
            about = event["regarding"]
            action = _TOLD_BY.get(event["reason"])
            if action is not None:
                counted[(about["namespace"], about["name"]), about["kind"], action] += 1
        for (key, kind, action), count in counted.items():
            known = sum(t.action == action for t in account.told.get(key, ()))
            self.check(
                EVENTS, count <= known, f"{key}: {count} events of {action} on its {kind}, {known} in its history"
            )

    def audit(self, log: Path, namespaces: set[str], away: Sequence[tuple[float, float]]) -> None:
        """Every call of the operator in these namespaces, as the API server wrote it down.

        away: an API server that is starting forbids everything until it has read the roles; that is its doing.
        """
        for file in sorted(log.parent.glob(f"{log.stem}*{log.suffix}")):
            with file.open() as lines:
                for line in lines:
                    if OPERATOR not in line:
                        continue
                    entry = json.loads(line)
                    at = datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
                    starting = any(began <= at <= ended for began, ended in away)
                    if not starting and (entry.get("objectRef") or {}).get("namespace") in namespaces:
                        code = entry.get("responseStatus", {}).get("code")
                        self.check(ALLOWED, code != 403, f"{entry['verb']} {entry['requestURI']}")


_JUDGED = ("pauseRollout", "rollback")
_TOLD_BY = {
    "ScaledUp": "scaleUp",
    "ScaledDown": "scaleDown",
    "RolloutPaused": "pauseRollout",
    "RolloutResumed": "resumeRollout",
    "RolledBack": "rollback",
}


def _actions(done: Iterable[tuple[Seen, Seen]]) -> Iterable[str]:
    """What the operator did, from what changed. A tag that only grows is a release, which people make."""
    for before, after in done:
        if after.replicas != before.replicas:
            yield f"scale {before.replicas} to {after.replicas}"
        if int(after.tag) < int(before.tag):
            yield "rollback"
        elif before.paused and not after.paused:
            yield "resume"
        if after.paused and not before.paused:
            yield "pause"


def _short(told: Told) -> str:
    match told.action:
        case "scaleUp" | "scaleDown":
            return f"scale {told.from_} to {told.to}"
        case "pauseRollout":
            return "pause"
        case "resumeRollout":
            return "resume"
        case other:
            return other
