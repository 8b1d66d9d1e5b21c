"""Microsoft Teams: an adaptive card to a Workflows webhook
(https://support.microsoft.com/office/create-incoming-webhooks-with-workflows-for-microsoft-teams-8ae491c7-0394-4861-ba59-055e33f75498).
"""

from __future__ import annotations

import re
from typing import Any

from resilience_operator.plugins.builtin.formatting import Group, headline, rest, sentence, shown, subject
from resilience_operator.plugins.builtin.http import JsonNotifier
from resilience_operator.plugins.builtin.options import HttpOptions

_MARKDOWN = re.compile(r"([\\`*_\[\]<>])")


class Teams(JsonNotifier[HttpOptions]):
    """One card for a group."""

    options_model = HttpOptions

    def document(self, group: Group) -> dict[str, Any]:
        """Return the JSON document to post."""
        return message(group, self.options)


def message(group: Group, options: HttpOptions) -> dict[str, Any]:
    """Return a message with one adaptive card (schema 1.4)."""
    body = [_text(escape(headline(group)), weight="Bolder", size="Medium")]
    for n in shown(group):
        link = options.link_to(n)
        about = f"[{escape(subject(n))}]({link})" if link else escape(subject(n))
        body.append(_text(f"{about} {escape(sentence(n))}", color="Attention" if n.warning else "Default"))
    if more := rest(group):
        body.append(_text(more, isSubtle=True))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _text(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "TextBlock", "text": text, "wrap": True, **more}


def escape(text: str) -> str:
    """Escape Markdown, which cards render, so that policy text cannot create links or mentions."""
    return _MARKDOWN.sub(r"\\\1", text)
