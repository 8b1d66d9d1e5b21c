"""Slack, and what takes the same: an incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""

from __future__ import annotations

from typing import Any

from resilience_operator.plugins.builtin.http import JsonNotifier
from resilience_operator.plugins.builtin.options import HttpOptions
from resilience_operator.plugins.builtin.wording import Group, headline, rest, sentence, shown, subject
from resilience_operator.plugins.protocols import Notification


class Slack(JsonNotifier[HttpOptions]):
    """One message for a group."""

    options_model = HttpOptions

    def document(self, group: Group) -> dict[str, Any]:
        """What is posted."""
        return message(group, self.options)


MOST_BLOCK = 3000
"""Characters of one block's text that Slack takes; beyond it refuses the whole message."""


def message(group: Group, options: HttpOptions) -> dict[str, Any]:
    """The webhook's document. Blocks keep Slack from making links; other services read the same from `text`."""
    lines = [f"*{escape(headline(group))}*", *(_line(n, options) for n in shown(group))]
    if more := rest(group):
        lines.append(f"_{more}_")
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": line, "verbatim": True}} for line in lines]
    return {"text": "\n".join(lines), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _line(n: Notification, options: HttpOptions) -> str:
    link, about, told = options.link_to(n), escape(subject(n)), escape(sentence(n))
    mark = ":warning:" if n.warning else "•"
    line = f"{mark} <{link}|{about}> {told}" if link else f"{mark} {about} {told}"
    return line if len(line) <= MOST_BLOCK else f"{mark} {about} {told}"


def escape(text: str) -> str:
    """Slack's three control characters: without them nothing in a policy can mention or link anybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
