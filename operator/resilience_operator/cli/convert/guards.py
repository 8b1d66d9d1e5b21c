"""Builds policies that guard releases, from the analyses of Argo Rollouts and Flagger."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.api.quantities import QuantityError, format_duration, parse_duration
from resilience_operator.api.signals import PLACEHOLDERS
from resilience_operator.api.v1alpha1 import API_VERSION, KIND
from resilience_operator.cli.convert.builder import Json, plain, slug
from resilience_operator.cli.convert.metrics import is_promql
from resilience_operator.cli.convert.reader import TrackingReader

SHORTEST, LONGEST = 5.0, 600.0
"""Bounds of spec.interval with a custom query, seconds."""
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}")

ALWAYS = (
    "the policy is in mode DryRun and changes nothing. Compare its decisions with those of the {0}; then delete the "
    "{0} and set mode: Enforce",
    "the operator judges the rolling update of the workload itself: it pauses and rolls back, and shifts no traffic. "
    "Weights and steps of the {0} have no counterpart",
)
"""Notes on every converted analysis. {0}: its kind."""


@dataclass(slots=True)
class GuardBuilder:
    """Collects signals and rules that pause a failing release and roll it back."""

    signals: list[Json] = field(default_factory=list)
    rules: list[Json] = field(default_factory=list)
    intervals: list[float] = field(default_factory=list)
    bakes: list[float] = field(default_factory=list)

    def signal(self, name: str, query: str, *, window: str = "") -> str:
        """Add a custom signal under a unique name. Returns the name."""
        taken = {"cpu", "latency-p99", "error-rate", "zone-lost", *(one["name"] for one in self.signals)}
        chosen = next(n for n in (slug(name), *(f"{slug(name)}-{i}" for i in range(2, 1000))) if n not in taken)
        self.signals.append({"name": chosen, "query": query, **({"window": window} if window else {})})
        return chosen

    def rule(self, name: str, conditions: list[Json], *, every: bool = False) -> None:
        """Add a rule on one condition, or on all or any of several."""
        taken = {one["name"] for one in self.rules}
        chosen = next(n for n in (name, *(f"{name}-{i}" for i in range(2, 1000))) if n not in taken)
        when: Json = conditions[0] if len(conditions) == 1 else {"all" if every else "any": conditions}
        self.rules.append({"name": chosen, "when": when, "then": [{"pauseRollout": {}}, {"rollback": {}}]})

    def policy(self, metadata: Json, target: Json, *, family: str = "", mode: str = "DryRun") -> Json:
        """The complete policy."""
        interval = min(self.intervals, default=0.0)
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": metadata,
            "spec": {
                "targetRef": target,
                "mode": mode,
                **({"interval": format_duration(min(max(interval, SHORTEST), LONGEST))} if interval else {}),
                **({"metricSource": {"preset": family}} if family else {}),
                **({"release": {"bake": format_duration(max(self.bakes))}} if self.bakes else {}),
                **({"signals": self.signals} if self.signals else {}),
                "rules": self.rules,
            },
        }


def condition(signal: str, side: str, value: float | str, hold: float = 0.0) -> Json:
    """A condition; hold: `for`, seconds."""
    threshold = value if isinstance(value, str) else plain(value)
    return {"signal": signal, side: threshold, **({"for": format_duration(hold)} if hold > 0 else {})}


def duration(place: TrackingReader, key: str, default: float = 0.0) -> float:
    """Read a duration of Go, in seconds. Adds a note, and returns the default, if it cannot be converted."""
    value = place.take(key)
    if value is None:
        return default
    try:
        return parse_duration(str(value))
    except QuantityError:
        place.add_note(f"{value} is not a duration that can be converted", key, lost=True)
        return default


def count(place: TrackingReader, key: str, default: int) -> int:
    """Read a number that may be text, or refer to an argument. Adds a note if it cannot be converted."""
    value = place.take(key)
    if value is None:
        return default
    try:
        return int(value)
    except (TypeError, ValueError):
        place.add_note(f"{value} is not a number that can be converted", key, lost=True)
        return default


def usable_query(place: TrackingReader, query: str, key: str = "query") -> bool:
    """Whether a query is complete and valid. Adds a note otherwise."""
    unknown = [found for found in _PLACEHOLDER.findall(query) if found.replace(" ", "") not in PLACEHOLDERS]
    if unknown:
        place.add_note(f"the query needs {', '.join(dict.fromkeys(unknown))}, which has no value", key, lost=True)
    elif not query or not is_promql(query):
        place.add_note("the query is missing or not valid PromQL", key, lost=True)
    else:
        return True
    return False


def mapping(value: Any) -> Json:
    """The value, if it is a mapping; else an empty one."""
    return value if isinstance(value, dict) else {}
