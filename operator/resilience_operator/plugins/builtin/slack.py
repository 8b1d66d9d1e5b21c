"""Slack and compatible services: an incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""

from __future__ import annotations

from typing import Any

from resilience_operator.plugins.builtin.formatting import Group, headline, rest, sentence, shown, subject
from resilience_operator.plugins.builtin.http import JsonNotifier
from resilience_operator.plugins.builtin.options import HttpOptions
from resilience_operator.plugins.protocols import Notification


class Slack(JsonNotifier[HttpOptions]):
    """One message for a group."""

    options_model = HttpOptions

    def document(self, group: Group) -> dict[str, Any]:
        """Return the JSON document to post."""
        return message(group, self.options)


MOST_BLOCK = 3000
"""Maximum characters of one block; Slack rejects the whole message beyond that."""


def message(group: Group, options: HttpOptions) -> dict[str, Any]:
    """Return the webhook document. Blocks prevent automatic links in Slack; other services read `text`."""
    lines = [f"*{escape(headline(group))}*", *(_line(n, options) for n in shown(group))]
    if more := rest(group):
        lines.append(f"_{more}_")
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": line, "verbatim": True}} for line in lines]
    return {"text": "\n".join(lines), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _line(n: Notification, options: HttpOptions) -> str:
    link, about, text = options.link_to(n), escape(subject(n)), escape(sentence(n))
    mark = ":warning:" if n.warning else "•"
    line = f"{mark} <{link}|{about}> {text}" if link else f"{mark} {about} {text}"
    return line if len(line) <= MOST_BLOCK else f"{mark} {about} {text}"


def escape(text: str) -> str:
    """Escape Slack's three control characters, so that policy text cannot create mentions or links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
