"""Slack, and what takes the same: an incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""

from __future__ import annotations

from typing import Any

from resilience_operator.plugins.builtin.http import JsonNotifier
from resilience_operator.plugins.builtin.options import HttpOptions
from resilience_operator.plugins.builtin.wording import Group, headline, rest, sentence, shown, subject


class Slack(JsonNotifier[HttpOptions]):
    """One message for a group."""

    options_model = HttpOptions

    def document(self, group: Group) -> dict[str, Any]:
        """What is posted."""
        return message(group, self.options)


def message(group: Group, options: HttpOptions) -> dict[str, Any]:
    """The webhook's document: a text, which is all that those who speak Slack's form understand."""
    lines = [f"*{escape(headline(group))}*"]
    for n in shown(group):
        link = options.link_to(n)
        about = f"<{link}|{escape(subject(n))}>" if link else escape(subject(n))
        lines.append(f"{':warning:' if n.warning else '•'} {about} {escape(sentence(n))}")
    if more := rest(group):
        lines.append(f"_{more}_")
    return {"text": "\n".join(lines), "unfurl_links": False}


def escape(text: str) -> str:
    """Slack's three control characters: without them nothing in a policy can mention or link anybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
