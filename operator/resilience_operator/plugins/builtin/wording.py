"""What people read of a group of notifications: a headline, and a line for each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from resilience_operator.plugins.protocols import Notification

MOST_LINES = 20
"""Notifications of a group that a chat shows in full; the rest is counted. All of them are in the journal."""

MOST_CHARACTERS = 500
"""Of one message."""

Group = Sequence[Notification]


def headline(group: Group) -> str:
    """`shop/checkout: RuleBreached`, or `7 messages about 3 policies: RuleBreached 5, Alert 2`."""
    policies = {(n.namespace, n.policy) for n in group}
    reasons = Counter(n.reason for n in group)
    told = ", ".join(reason if count == 1 else f"{reason} {count}" for reason, count in reasons.most_common())
    if len(policies) == 1:
        return f"{subject(group[0])}: {told}"
    return f"{len(group)} messages about {len(policies)} policies: {told}"


def subject(notification: Notification) -> str:
    """`shop/checkout`."""
    return f"{notification.namespace}/{notification.policy}"


def sentence(notification: Notification) -> str:
    """What was done, with the numbers: `scaleUp 3 → 5 (Done): cpu is 85% (above 70% for 2m): 3 → 5 pods`."""
    n = notification
    change = f" {n.before} → {n.after}" if n.before and n.after else ""
    done = f"{n.action}{change} ({n.result}): " if n.action else ""
    dry = "[dry run] " if n.dry_run else ""
    text = f"{dry}{done}{n.message}"
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def shown(group: Group) -> Iterator[Notification]:
    """Those that are shown in full, warnings first."""
    yield from sorted(group, key=lambda n: not n.warning)[:MOST_LINES]


def rest(group: Group) -> str:
    """What is said of those that are not shown; empty when all are."""
    left = len(group) - MOST_LINES
    return f"and {left} more: see status.history and the events of the policies" if left > 0 else ""
