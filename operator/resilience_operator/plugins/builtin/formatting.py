"""Texts of a group of notifications: a headline, and one line each. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

from resilience_operator.api.text import one_line
from resilience_operator.plugins.protocols import Notification

MOST_LINES = 20
"""Maximum notifications of a group shown in a chat; the rest is counted. The history has all of them."""

MOST_CHARACTERS = 500
"""Maximum characters of one notification."""

Group = Sequence[Notification]


def headline(group: Group) -> str:
    """Return `shop/checkout: RuleBreached`, or `7 messages about 3 policies: RuleBreached 5, Alert 2`."""
    policies = {(n.namespace, n.policy) for n in group}
    reasons = Counter(n.reason for n in group)
    counts = ", ".join(reason if count == 1 else f"{reason} {count}" for reason, count in reasons.most_common())
    if len(policies) == 1:
        return f"{subject(group[0])}: {counts}"
    return f"{len(group)} messages about {len(policies)} policies: {counts}"


def subject(notification: Notification) -> str:
    """Return `shop/checkout`, unlinked because a policy's name may look like a domain."""
    return unlinked(f"{notification.namespace}/{notification.policy}")


def sentence(notification: Notification) -> str:
    """Describe a notification: `scaleUp 3 → 5 (Done): cpu is 85% (above 70% for 2m): 3 → 5 pods`."""
    n = notification
    change = f" {n.before} → {n.after}" if n.before and n.after else ""
    result = "" if n.dry_run else f" ({n.result})"
    done = f"{n.action}{change}{result}: " if n.action else ""
    dry = "[dry run] " if n.dry_run else ""
    text = f"{dry}{done}{n.message}"
    return unlinked(text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…")


def shown(group: Group) -> list[Notification]:
    """Return the notifications shown in full: first one of each namespace, then the others in turn.

    Within a namespace, decisions and notices alternate, warnings first. So neither another namespace nor a flood of
    notices hides a decision.
    """
    namespaces: dict[str, list[Notification]] = {}
    for n in group:
        namespaces.setdefault(n.namespace, []).append(n)
    ordered = sorted((_by_weight(each) for each in namespaces.values()), key=lambda each: _weight(each[0]))
    return list(_round_robin(ordered))[:MOST_LINES]


def rest(group: Group) -> str:
    """Describe the notifications that are not shown; empty if all are."""
    left = len(group) - MOST_LINES
    if left <= 0:
        return ""
    hidden = {n.namespace for n in group} - {n.namespace for n in shown(group)}
    of = f", including all from {len(hidden)} namespaces" if hidden else ""
    return f"and {left} more{of}: see status.history and the events of the policies"


def _weight(n: Notification) -> tuple[bool, bool]:
    return not n.warning, n.kind != "decision"


def _by_weight(group: Group) -> list[Notification]:
    ordered = sorted(group, key=_weight)
    kinds = [[n for n in ordered if n.kind == ordered[0].kind], [n for n in ordered if n.kind != ordered[0].kind]]
    return list(_round_robin(kinds))


def _round_robin(rows: Sequence[Group]) -> Iterator[Notification]:
    return (n for n in chain.from_iterable(zip_longest(*rows)) if n is not None)


_BREAK = "\u200b"
"""A zero-width space: text split by it is not a link or a mention in any chat."""

_LINKS = re.compile(
    r"(?<=[^\W\d_])[:：](?=\S)"  # the colon of a scheme: https://, mailto:
    r"|(?<=\w)[.。．｡](?=[^\W\d_])"  # a dot within a domain
    r"|[@＠#＃](?=\w)"  # a mention, a channel
    r"|/(?=/)"
    r"|[<＜](?=[^\s=])"  # Slack's and Discord's own forms: <!here>, <@U123>
)


def unlinked(text: str) -> str:
    """Return the text on one line, with zero-width spaces in what a chat would turn into links or mentions.

    Code spans work only in some chats; this works in all of them, also behind another service.
    """
    return _LINKS.sub(lambda found: f"{found[0]}{_BREAK}", one_line(text))
