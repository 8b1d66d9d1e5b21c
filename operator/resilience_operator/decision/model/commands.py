"""Commands as data: what to do to the target, and why. `actions` executes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Verb(StrEnum):
    """The verbs of commands. Each is idempotent and changes one object."""

    SCALE_UP = "scaleUp"
    SCALE_DOWN = "scaleDown"
    PAUSE = "pauseRollout"
    RESUME = "resumeRollout"
    ROLLBACK = "rollback"
    ADOPT_MINIMUM = "adoptMinimum"
    PLUGIN = "plugin"
    FREEZE = "freezeRollout"
    UNFREEZE = "unfreezeRollout"
    DENY_ROLLBACK = "denyRollback"
    KEEP_CONFIGURATION = "keepConfiguration"
    LIFT_HOLD = "liftHold"


@dataclass(frozen=True, slots=True)
class Command:
    """One verb with its arguments.

    rules: the rules that requested it, the decisive one first. from_/to: replicas for the scaling verbs, revisions for
    the release verbs. via: the HPA whose minReplicas is changed instead of the target's replicas, or empty.
    reason: a stable CamelCase word. message: a sentence with the values.
    """

    verb: Verb
    reason: str
    message: str
    rules: tuple[str, ...] = ()
    from_: int | str | None = None
    to: int | str | None = None
    via: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """The names of the rules that requested it, joined by `, `."""
        return ", ".join(self.rules)


class Result(StrEnum):
    """The result of a command.

    DONE: executed, or already in effect. DRY_RUN: simulated, because the policy is in dry run.
    SUPERSEDED: the target changed after the decision, so nothing was done; the next evaluation decides again.
    FAILED: refused or unreachable. POSTPONED: refused, but possibly only for seconds, so it is not a failure yet.
    """

    DONE = "Done"
    DRY_RUN = "Rehearsed"
    SUPERSEDED = "Superseded"
    FAILED = "Failed"
    POSTPONED = "Postponed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A command and its result. message: why it was not executed, or the answer of a plugin.

    forbidden: the API server refused it, because of RBAC or an admission policy.
    """

    command: Command
    result: Result
    message: str = ""
    forbidden: bool = False

    @property
    def applied(self) -> bool:
        """Whether the command counts as executed. In a dry run it does, through the overlay."""
        return self.result in (Result.DONE, Result.DRY_RUN)

    @property
    def retryable(self) -> bool:
        """Whether it is decided again shortly, so that there is nothing to report yet."""
        return self.result in (Result.SUPERSEDED, Result.POSTPONED)

    @property
    def description(self) -> str:
        """The command's message, followed by the message of its result if there is one."""
        if self.result is Result.FAILED:
            return f"{self.command.message}. It failed: {self.message}"
        return f"{self.command.message}: {self.message}" if self.message else self.command.message


class HistoryMark(NamedTuple):
    """How a notice appears in the history of decisions: as an `action` on a revision."""

    action: str
    revision: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification sent once, when its cause begins.

    key: its identity. The key of a notice about a release ends in `/` and the revision; it is sent once per release.
    warning: the Event type is Warning. transient: it reports a single event (manual scaling), so it is not remembered.
    history: it is also recorded among the decisions.
    """

    key: str
    reason: str
    message: str
    warning: bool = False
    transient: bool = False
    history: HistoryMark | None = None
