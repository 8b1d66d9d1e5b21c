"""Which policies a command is about: names, a label selector, or all of a namespace."""

from __future__ import annotations

from dataclasses import dataclass

from resilience_operator.cli.common.console import UsageError

_TYPES = ("rsp", "resiliencepolicy", "resiliencepolicies")


@dataclass(frozen=True, slots=True)
class Selection:
    """Policies. namespace: None for all namespaces. names: empty for all that match the label selector."""

    namespace: str | None
    names: tuple[str, ...] = ()
    selector: str | None = None

    @property
    def only(self) -> tuple[str, str] | None:
        """Namespace and name, if exactly one policy is named."""
        return (self.namespace, self.names[0]) if self.namespace is not None and len(self.names) == 1 else None

    def __str__(self) -> str:
        where = "in any namespace" if self.namespace is None else f"in namespace {self.namespace}"
        return f"{where} with labels {self.selector}" if self.selector else where


def select(
    names: list[str] | None,
    *,
    namespace: str,
    everywhere: bool = False,
    selector: str | None = None,
    all_: bool | None = None,
) -> Selection:
    """Build a selection from arguments, as kubectl does. Raises UsageError.

    all_: whether --all was given; None if the command takes all policies without it.
    """
    found = policy_names(names or ())
    if found and selector:
        raise UsageError("use names or -l SELECTOR, not both")
    if found and everywhere:
        raise UsageError("use names or -A, not both: a name is in one namespace")
    if found and all_:
        raise UsageError("use names or --all, not both")
    if all_ is False and not found and not selector and not everywhere:
        raise UsageError("no policy given: use NAME, -l SELECTOR, --all for the namespace, or -A for all namespaces")
    return Selection(None if everywhere else namespace, found, selector or None)


def policy_names(arguments: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The names in `NAME`, `TYPE/NAME` or `TYPE NAME...` arguments, without repetitions. Raises UsageError."""
    if len(arguments) > 1 and _is_policy(arguments[0]):
        arguments = arguments[1:]
    return tuple(dict.fromkeys(policy_name(argument) for argument in arguments))


def policy_name(argument: str) -> str:
    """The name in `NAME` or `TYPE/NAME`. Raises UsageError for another type."""
    kind, slash, name = argument.rpartition("/")
    if (slash and not _is_policy(kind)) or not name:
        raise UsageError(f"{argument!r} is not a policy: use NAME or rsp/NAME")
    return name


def _is_policy(kind: str) -> bool:
    name, _, group = kind.lower().partition(".")
    return name in _TYPES and group in ("", "resilience-operator.io", "v1alpha1.resilience-operator.io")
