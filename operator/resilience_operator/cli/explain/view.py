"""`explain`: formats the explanation of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from resilience_operator.api.status import PolicyStatus
from resilience_operator.cli.common.policy_loader import load_policy
from resilience_operator.cli.status.view import STYLES
from resilience_operator.decision.model.memory import Verdict
from resilience_operator.decision.model.target import TargetState
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.explain import Explanation
from resilience_operator.explain.explain import explain as explain_facts

_STYLES = {Verdict.OK: "green", Verdict.PENDING: "yellow", Verdict.BREACH: "bold red", Verdict.UNKNOWN: "magenta"}


def explain(body: Mapping[str, Any], target: TargetState | str, now: float) -> Explanation:
    """Explain the policy in `body`. target: its state, or why it cannot be read. Raises InvalidPolicy."""
    entry, policy = load_policy(body)
    live, unread = (target, "") if isinstance(target, TargetState) else (None, target)
    status = PolicyStatus.model_validate(body.get("status") or {})
    return explain_facts(
        ExplainContext(policy, status, entry.memory, live, now, entry.target[0], entry.target[2]), unread
    )


def to_document(e: Explanation) -> Text:
    """Format it for people; styles apply only on a terminal."""
    text = Text()
    text.append(e.name, style="bold")
    text.append(" is ")
    text.append(e.health.word, style=STYLES[e.health.level])
    text.append(f": {e.health.why}" if e.health.why else "")
    for title, sentences in (("Target", e.target), ("Blockers", e.blockers)):
        _section(text, title, sentences)
    for rule in e.rules:
        text.append("\n\nRule ")
        text.append(rule.name, style="bold")
        text.append(": ")
        text.append(rule.verdict.value, style=_STYLES[rule.verdict])
        text.append(f"\n  on {rule.acts_when}: {rule.does}", style="dim")
        for sentence in (*rule.readings, *rule.evidence_readings, *rule.then):
            text.append(f"\n  {_sentence(sentence)}")
    _section(text, "Capacity", e.capacity)
    _section(text, "Scale-down", e.scale_down)
    _section(text, "Last decision", (e.last,) if e.last else ())
    return text


def _section(text: Text, title: str, sentences: tuple[str, ...]) -> None:
    if sentences:
        text.append(f"\n\n{title}", style="bold")
        for sentence in sentences:
            text.append(f"\n  {_sentence(sentence)}")


def _sentence(text: str) -> str:
    """Make a sentence with a full stop. A leading name keeps its case."""
    return text if text.endswith((".", "?")) else f"{text}."
