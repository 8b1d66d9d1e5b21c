"""The whole explanation: gathered, and put on paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from resilience_operator.cli.explain.facts import Facts
from resilience_operator.cli.explain.rules import RuleExplained, explain_rule
from resilience_operator.cli.explain.surroundings import giving_back, in_the_way, the_target
from resilience_operator.cli.loaded import load
from resilience_operator.cli.views.state import State, state_of
from resilience_operator.decision.memory import Verdict
from resilience_operator.decision.target import TargetState

_STYLES = {Verdict.OK: "green", Verdict.PENDING: "yellow", Verdict.BREACH: "bold red", Verdict.UNKNOWN: "magenta"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A policy in words."""

    name: str
    mode: str
    state: State
    target: tuple[str, ...]
    in_the_way: tuple[str, ...]
    rules: tuple[RuleExplained, ...]
    giving_back: tuple[str, ...]
    last: str


def explain(body: Mapping[str, Any], target: TargetState | str, now: float) -> Explanation:
    """Explain a policy as the API server has it. target: as it is, or why it could not be read.

    Raises InvalidPolicy.
    """
    entry, policy = load(body)
    live = target if isinstance(target, TargetState) else None
    facts = Facts(policy, entry.status, entry.memory, live, now, entry.target[0], entry.target[2])
    last = entry.status.last_decision
    told = ""
    if last is not None:
        rehearsed = " (dry run)" if last.dry_run else ""
        told = f"{last.action}{rehearsed}, {facts.ago(last.at.timestamp())} ago: {last.message}"
    return Explanation(
        f"{policy.namespace}/{policy.name}",
        policy.mode.value,
        state_of(entry.status, policy.generation),
        tuple(the_target(facts)),
        tuple(in_the_way(facts, target if isinstance(target, str) else "")),
        tuple(explain_rule(rule, facts) for rule in policy.rules),
        tuple(giving_back(facts)),
        told,
    )


def paper(e: Explanation) -> Text:
    """For people to read; styles show on a terminal alone."""
    text = Text()
    text.append(e.name, style="bold")
    text.append(" is ")
    text.append(e.state.word, style=e.state.style)
    text.append(f": {e.state.why}" if e.state.why else "")
    for title, sentences in (("Target", e.target), ("In the way", e.in_the_way)):
        _section(text, title, sentences)
    for rule in e.rules:
        text.append("\n\nRule ")
        text.append(rule.name, style="bold")
        text.append(": ")
        text.append(rule.verdict.value, style=_STYLES[rule.verdict])
        text.append(f"\n  on {rule.acts_when}: {rule.does}", style="dim")
        for sentence in (*rule.readings, *rule.then):
            text.append(f"\n  {_sentence(sentence)}")
    _section(text, "Giving back", e.giving_back)
    _section(text, "Last decision", (e.last,) if e.last else ())
    return text


def _section(text: Text, title: str, sentences: tuple[str, ...]) -> None:
    if sentences:
        text.append(f"\n\n{title}", style="bold")
        for sentence in sentences:
            text.append(f"\n  {_sentence(sentence)}")


def _sentence(text: str) -> str:
    """With a full stop. What begins with a name keeps it as it is written."""
    return text if text.endswith((".", "?")) else f"{text}."


def document(e: Explanation) -> dict[str, Any]:
    """For scripts."""
    return {
        "name": e.name,
        "mode": e.mode,
        "state": e.state.word,
        "why": e.state.why,
        "target": list(e.target),
        "inTheWay": list(e.in_the_way),
        "rules": [_rule(rule) for rule in e.rules],
        "givingBack": list(e.giving_back),
        "lastDecision": e.last,
    }


def _rule(rule: RuleExplained) -> dict[str, Any]:
    return {
        "name": rule.name,
        "verdict": rule.verdict.value,
        "actsWhen": rule.acts_when,
        "does": rule.does,
        "readings": list(rule.readings),
        "then": list(rule.then),
    }
