"""Protocols of actions and notifiers. The protocol of metric sources is `signals.sources.protocol.MetricSource`.

Each method may be a plain function or a coroutine function. Arguments are positional.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from resilience_operator.resilience import Deadline


@dataclass(frozen=True, slots=True)
class ActionCall:
    """One call of an action, at the start of a breach.

    key: the idempotency key: the same for every call for one breach, even after a crash. A plugin that stores it or
        passes it on acts once.
    policy, namespace: of the policy; the target is in the same namespace. kind, target: of the workload.
    rule: the rule's name. arguments: the content of `with`, as JSON values.
    since: when the breach began, seconds since the epoch. message: a sentence with the values.
    deadline: when the operator stops waiting for an answer.
    """

    key: str
    namespace: str
    policy: str
    rule: str
    kind: str
    target: str
    since: float
    message: str
    deadline: Deadline
    arguments: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Action(Protocol):
    """Runs when a rule is in breach: opens an incident, drains a queue, warms a cache."""

    def run(self, call: ActionCall) -> str | Awaitable[str | None] | None:
        """Act, and return a sentence for the history, or None.

        Raise TryAgain for transient errors: the action is called again with the same key until the deadline. Any other
        exception is a failure: it is recorded and reported, and the action is not called again for this breach.
        """
        ...


@dataclass(frozen=True, slots=True)
class Notification:
    """An action of the operator, or a notice.

    kind: `decision` for an action (done, failed or simulated), `notice` for anything else, including alerts.
    at: seconds since the epoch. reason: a stable CamelCase word. message: a sentence with the values.
    warning: corresponds to a Warning event. dry_run: nothing was changed.
    action, result, rule, before, after: of a decision: the verb; Done, Failed or Rehearsed (simulated in a dry run);
        the rules that requested it; the old and new replicas or revisions. Empty for a notice.
    key: identifies the notification when it is sent again.
    """

    key: str
    kind: Literal["decision", "notice"]
    at: float
    namespace: str
    policy: str
    target_kind: str
    target: str
    reason: str
    message: str
    warning: bool = False
    dry_run: bool = False
    action: str = ""
    result: str = ""
    rule: str = ""
    before: str = ""
    after: str = ""
    trace_id: str = ""


@runtime_checkable
class Notifier(Protocol):
    """Sends notifications: to a chat, a pager, a log."""

    def notify(self, notification: Notification, deadline: Deadline) -> Awaitable[None] | None:
        """Send it by the deadline. Raise TryAgain for transient errors; other failures are dropped and counted."""
        ...


@runtime_checkable
class GroupNotifier(Notifier, Protocol):
    """A notifier that sends several notifications at once. Its `notify` is not called."""

    def notify_group(self, group: Sequence[Notification], deadline: Deadline) -> Awaitable[None] | None:
        """Send all in one message. Keys are unique, and none is sent again once this has returned."""
        ...


class Factory(Protocol):
    """Creates a plugin; named by the entry point. A class whose `__init__` has these two parameters is a factory.

    It is called once, in a thread without an event loop: create objects that need a loop at the first call.
    """

    def __call__(self, name: str, options: Mapping[str, Any]) -> object:
        """Create the plugin. name, options: from the configuration. Raise ValueError for invalid options."""
        ...
