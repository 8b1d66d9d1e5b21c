"""Everything else that Apprise knows, from mail to Matrix (https://appriseit.com/services/).

It answers whether it was delivered, and not why it was not: so a failure is tried again, whatever it was.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from resilience_operator.plugins.builtin.options import NotifierOptions, read
from resilience_operator.plugins.builtin.wording import Group, headline, rest, sentence, shown, subject
from resilience_operator.plugins.protocols import Notification
from resilience_operator.resilience import Deadline, GiveUp, TryAgain


class Apprise:
    """One message for a group."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        # Here and not above: it is no part of an operator that does not use it.
        import apprise

        # It logs addresses and what it sends, and addresses are secrets here.
        logging.getLogger("apprise").disabled = True
        self._options = read(NotifierOptions, name, options)
        self._apprise = apprise

    def notify(self, notification: Notification, deadline: Deadline) -> None:
        """Tell one thing."""
        self.notify_group((notification,), deadline)

    def notify_group(self, group: Group, deadline: Deadline) -> None:
        """Tell several things in one message."""
        del deadline  # its services have time-outs of their own, and nobody waits longer than the deadline
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
    """Plain lines."""
    lines = []
    for n in shown(group):
        link = options.link_to(n)
        lines.append(f"{subject(n)} {sentence(n)}" + (f" {link}" if link else ""))
    return "\n".join([*lines, *([more] if (more := rest(group)) else [])])
