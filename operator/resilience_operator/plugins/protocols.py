"""What an action and a notifier must be able to do. A metric source's protocol is `signals.source.MetricSource`.

Each method may be a plain function or a coroutine. Arguments are given by position.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from resilience_operator.resilience import Deadline


@dataclass(frozen=True, slots=True)
class ActionCall:
    """One call of an action: a rule began to be in breach.

    key: the same for every call on account of the same breach, after a crash too; another for any other. A plugin
        that passes it on, or remembers it, acts once.
    policy, namespace: of the policy; the target is in the same namespace. kind, target: of the workload.
    rule: the rule's name. arguments: what stands under `with`, as JSON values.
    since: when the breach began, seconds since the epoch. message: a sentence with the numbers.
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
    """Does something when a rule is breached: opens an incident, drains a queue, warms a cache."""

    def run(self, call: ActionCall) -> str | Awaitable[str | None] | None:
        """Act, and answer with a sentence for the journal, or None.

        Raise TryAgain for what may pass: it is called again with the same key, while there is time. Any other
        exception is a failure: it is recorded and told, and this breach is not acted on again.
        """
        ...


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that the operator did, or has to tell.

    kind: `decision` for what was done (or failed, or was rehearsed), `notice` for what is only told, alerts among it.
    at: seconds since the epoch. reason: a stable CamelCase word. message: a sentence with the numbers.
    warning: of the weight of a Warning event. dry_run: nothing was changed.
    action, result, rule, before, after: of a decision: the verb, Done, Failed or Rehearsed, the rules that asked, and
        the replicas or revisions from and to; empty for a notice.
    key: the same when the same thing is told again.
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
    """Tells people: a chat, a pager, a log elsewhere."""

    def notify(self, notification: Notification, deadline: Deadline) -> Awaitable[None] | None:
        """Tell it by the deadline. Raise TryAgain for what may pass; what fails for good is dropped and counted."""
        ...


@runtime_checkable
class GroupNotifier(Notifier, Protocol):
    """A notifier that is told of several things at once, and of those alone: `notify` is then not called."""

    def notify_group(self, group: Sequence[Notification], deadline: Deadline) -> Awaitable[None] | None:
        """Tell all of them in one message. No two have the same key, and none is told again once this returned."""
        ...


class Factory(Protocol):
    """What an entry point names: makes a plugin. A class whose `__init__` takes these two is one.

    It is called once, in a thread that has no event loop: what belongs to a loop is made at the first call.
    """

    def __call__(self, name: str, options: Mapping[str, Any]) -> object:
        """name: what the administrator calls it. options: theirs. Raise ValueError for options that cannot be."""
        ...
