"""Which policies a command is about: names, their targets, a label selector, or all of a namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resilience_operator.cli.common.errors import UsageError

_TYPES = ("rsp", "resiliencepolicy", "resiliencepolicies")
_WORKLOADS = {
    "deploy": "Deployment", "deployment": "Deployment", "deployments": "Deployment",
    "sts": "StatefulSet", "statefulset": "StatefulSet", "statefulsets": "StatefulSet",
    "ds": "DaemonSet", "daemonset": "DaemonSet", "daemonsets": "DaemonSet",
}  # fmt: skip
"""kubectl's names of the kinds in apps/v1."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A target, as in `deployment/checkout` or `rollout.argoproj.io/cart`. group: empty if not given."""

    kind: str
    group: str
    name: str

    @property
    def built_in(self) -> bool:
        """Whether the kind is one of apps/v1."""
        return self.kind in _WORKLOADS.values()

    def is_target_of(self, body: Mapping[str, Any]) -> bool:
        """Whether a policy targets it. A kind that is not built in may be in the plural."""
        spec = body.get("spec")
        reference = spec.get("targetRef") if isinstance(spec, dict) else None
        if not isinstance(reference, dict) or reference.get("name") != self.name:
            return False
        group = str(reference.get("apiVersion") or "").rpartition("/")[0]
        kind, given = str(reference.get("kind") or "").lower(), self.kind.lower()
        forms = {kind, f"{kind}s", f"{kind}es", f"{kind[:-1]}ies"}
        return given in forms and self.group in ("", group)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Policies. namespace: None for all namespaces.

    names: of policies; targets: workloads, for the policies that target them. Without either: all that match the label
    selector.
    """

    namespace: str | None
    names: tuple[str, ...] = ()
    selector: str | None = None
    targets: tuple[Workload, ...] = ()

    @property
    def only(self) -> tuple[str, str] | None:
        """Namespace and name, if exactly one policy is named."""
        one = len(self.names) == 1 and not self.targets
        return (self.namespace, self.names[0]) if self.namespace is not None and one else None

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
    policies, targets = _arguments(tuple(names or ()))
    found = bool(policies or targets)
    if found and selector:
        raise UsageError("use names or -l SELECTOR, not both")
    if found and everywhere:
        raise UsageError("use names or -A, not both: a name is in one namespace")
    if found and all_:
        raise UsageError("use names or --all, not both")
    if all_ is False and not found and not selector and not everywhere:
        raise UsageError("no policy given: use NAME, -l SELECTOR, --all for the namespace, or -A for all namespaces")
    return Selection(None if everywhere else namespace, policies, selector or None, targets)


def _arguments(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Workload, ...]]:
    """Policies and targets in `NAME`, `TYPE/NAME` or `TYPE NAME...` arguments, without repetitions."""
    if len(arguments) > 1 and "/" not in arguments[0] and (_is_policy(arguments[0]) or _is_workload(arguments[0])):
        arguments = tuple(one if "/" in one else f"{arguments[0]}/{one}" for one in arguments[1:])
    read = dict.fromkeys(map(_argument, arguments))
    names = tuple(one for one in read if isinstance(one, str))
    return names, tuple(one for one in read if isinstance(one, Workload))


def _argument(argument: str) -> str | Workload:
    kind, slash, name = argument.partition("/")
    if not name if slash else not argument:
        raise UsageError(f"{argument!r} names nothing: use NAME, rsp/NAME or a target like deployment/NAME")
    if "/" in name or (slash and not kind):
        raise UsageError(f"{argument!r} is not TYPE/NAME: use NAME, rsp/NAME or a target like deployment/NAME")
    if not slash:
        return argument
    if _is_policy(kind):
        return name
    resource, _, group = kind.partition(".")
    # `deployments.v1.apps`: a version may be before the group.
    version, dot, rest = group.partition(".")
    group = rest if dot and _is_version(version) else group
    return Workload(_WORKLOADS.get(resource.lower(), resource), group, name)


def policy_name(argument: str) -> str:
    """The name in `NAME` or `TYPE/NAME` of a policy. Raises UsageError for another type."""
    found = _argument(argument)
    if isinstance(found, Workload):
        raise UsageError(f"{argument!r} is not a policy: use NAME or rsp/NAME")
    return found


def _is_version(text: str) -> bool:
    return text[:1] == "v" and text[1:2].isdigit()


def _is_workload(kind: str) -> bool:
    return kind.lower() in _WORKLOADS


def _is_policy(kind: str) -> bool:
    name, _, group = kind.lower().partition(".")
    return name in _TYPES and group in ("", "resilience-operator.io", "v1alpha1.resilience-operator.io")
