"""Notifications through any Apprise service, from mail to Matrix (https://appriseit.com/services/).

Apprise reports failures without a cause, so every failure is retried.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from resilience_operator.plugins.builtin.formatting import Group, headline, rest, sentence, shown, subject
from resilience_operator.plugins.builtin.options import NotifierOptions, parse_options
from resilience_operator.plugins.protocols import Notification
from resilience_operator.resilience import Deadline, GiveUp, TryAgain


class Apprise:
    """One message for a group."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        # Imported here, because it is an optional dependency.
        import apprise

        # It logs addresses, which may be secret, and contents.
        logging.getLogger("apprise").disabled = True
        self._options = parse_options(NotifierOptions, name, options)
        self._apprise = apprise

    def notify(self, notification: Notification, deadline: Deadline) -> None:
        """Send one notification."""
        self.notify_group((notification,), deadline)

    def notify_group(self, group: Group, deadline: Deadline) -> None:
        """Send several notifications in one message."""
        del deadline  # Apprise services have their own timeouts, and the runner enforces the deadline
        where = self._apprise.Apprise()
        if not where.add(self._options.address()):
            raise GiveUp("Apprise does not support the address: use a service URL (scheme://…)", reason="credentials")
        kind = self._apprise.NotifyType
        if not where.notify(
            title=headline(group),
            body=text(group, self._options),
            notify_type=kind.WARNING if any(n.warning for n in group) else kind.INFO,
        ):
            raise TryAgain("Apprise could not deliver the message", reason="refused")


def text(group: Group, options: NotifierOptions) -> str:
    """Return the message as plain text lines."""
    lines = []
    for n in shown(group):
        link = options.link_to(n)
        lines.append(f"{subject(n)} {sentence(n)}" + (f" {link}" if link else ""))
    return "\n".join([*lines, *([more] if (more := rest(group)) else [])])
