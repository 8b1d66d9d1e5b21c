"""Builds a policy: collects signals and rules under unique names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.api.v1alpha1 import API_VERSION, KIND

Json = dict[str, Any]


def mine(*more: str) -> str:
    """Label matchers for the series of the target's pods."""
    return ", ".join(('namespace="{{namespace}}"', 'pod=~"{{pods}}"', *more))


@dataclass(slots=True)
class PolicyBuilder:
    """hold: `for` of each rule, seconds. cooldown: seconds, None for the default. scales: False for alerts only."""

    hold: int = 0
    cooldown: int | None = None
    scales: bool = True
    signals: list[Json] = field(default_factory=list)
    rules: list[Json] = field(default_factory=list)

    def add_rule(self, name: str, above: str | float, *, query: str = "", unit: str = "", total: bool = False) -> None:
        """Add a rule that scales to bring a signal back to its target.

        query: empty for a built-in signal. total: it returns a number for all pods, and `above` is per pod.
        """
        signal = name if not query else self._free(slug(name))
        if query:
            of = "total" if total else "perPod"
            self.signals.append({"name": signal, "query": query, **({"unit": unit} if unit else {"of": of})})
        when: Json = {"signal": signal, "above": above}
        if self.hold:
            when["for"] = f"{self.hold}s"
        scale: Json = {"toTarget": True}
        if self.cooldown is not None:
            scale["cooldown"] = f"{self.cooldown}s"
        self.rules.append(
            {"name": f"{signal}-target", "when": when, "then": [{"scaleUp": scale} if self.scales else {"alert": {}}]}
        )

    def _free(self, name: str) -> str:
        taken = {"cpu", *(signal["name"] for signal in self.signals)}
        return next(n for n in (name, *(f"{name}-{i}" for i in range(2, 1000))) if n not in taken)

    def policy(self, metadata: Json, spec: Json) -> Json:
        """The complete policy. spec: the fields before signals and rules."""
        signals = {"signals": self.signals} if self.signals else {}
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": metadata,
            "spec": {**spec, **signals, "rules": self.rules},
        }


def slug(text: str) -> str:
    """Convert `text` to a valid signal name."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    return found if found and found[0].isalpha() else f"m-{found}".strip("-")


def plain(value: float) -> float | int:
    """Format a number without trailing zeros."""
    return int(value) if value == int(value) else round(value, 6)
