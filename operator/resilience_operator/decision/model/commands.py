"""Commands are data: what to do to the target, and why. Who carries them out is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verb(StrEnum):
    """The verbs there are; each is idempotent, and each is one change to one object."""

    SCALE_UP = "scaleUp"
    SCALE_DOWN = "scaleDown"
    PAUSE = "pauseRollout"
    RESUME = "resumeRollout"
    ROLLBACK = "rollback"
    PLUGIN = "plugin"


@dataclass(frozen=True, slots=True)
class Command:
    """One verb with its object.

    rules: the rules that asked, the one that won first. from_/to: replicas for the scaling verbs, revisions for the
    release verbs. via: the HPA whose minReplicas is moved in place of the target's replicas, or empty.
    reason is a stable CamelCase word, message a sentence with the numbers.
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
        """The rule on whose account this is done; all of them, joined, when several asked."""
        return ", ".join(self.rules)


class Result(StrEnum):
    """What became of a command.

    DONE: executed, or found to be in effect already. DRY_RUN: not executed, since the policy is in a dry run.
    SUPERSEDED: the target was no longer what the decision saw, so nothing was done; the next evaluation decides anew.
    FAILED: refused or unreachable. POSTPONED: refused, but it may pass within seconds, so it is no failure yet.
    """

    DONE = "Done"
    DRY_RUN = "Rehearsed"
    SUPERSEDED = "Superseded"
    FAILED = "Failed"
    POSTPONED = "Postponed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A command and what became of it; `message` says why when it was not done, and what a plugin said of it.

    forbidden: the API server refused it, for want of a right or by an admission policy.
    """

    command: Command
    result: Result
    message: str = ""
    forbidden: bool = False

    @property
    def applied(self) -> bool:
        """Whether the command counts as executed. In a dry run it does, for the overlay."""
        return self.result in (Result.DONE, Result.DRY_RUN)

    @property
    def retryable(self) -> bool:
        """Whether it is decided anew in a moment: until then there is nothing to tell."""
        return self.result in (Result.SUPERSEDED, Result.POSTPONED)

    @property
    def description(self) -> str:
        """The command's message, with what became of it where there is something to say."""
        if self.result is Result.FAILED:
            return f"{self.command.message}. It failed: {self.message}"
        return f"{self.command.message}: {self.message}" if self.message else self.command.message


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell people once, when it begins to hold.

    key tells one from another; one about a release ends in `/` and the revision, and is told once while that release
    lasts. warning: an Event's type. passing: it tells of a moment (a person scaled), so there is nothing to remember.
    """

    key: str
    reason: str
    message: str
    warning: bool = False
    transient: bool = False
