"""Resolves the targets of policies, or explains why a policy cannot be evaluated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.model.target import TargetState
from resilience_operator.resilience import CallError, Deadline
from resilience_operator.runtime.cache.configuration import ConfigurationReader
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.cache.scale_targets import ScaleLookup, ScaleTargetReader
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.reporting.skip import SkipReason, paused

SCALE_LABEL = "resilience-operator.io/aggregate-to-scale"
"""ClusterRoles with this label set to "true" extend the operator's right to scale."""


Resolution = TargetState | SkipReason | Exception | None
"""The target's state, the reason to skip the policy, an unexpected error, or None if it is too early to evaluate."""


class TargetResolver:
    """Finds the target of each policy. clock: seconds since the epoch."""

    def __init__(
        self,
        store: PolicyCache,
        targets: TargetCache,
        scales: ScaleTargetReader,
        configurations: ConfigurationReader,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._targets = targets
        self._scales = scales
        self._configurations = configurations
        self._clock = clock

    async def resolve(self, entries: Sequence[PolicyEntry], deadline: Deadline) -> list[tuple[PolicyEntry, Resolution]]:
        """Resolve the targets of a batch. An error affects only its own policy."""
        scales = await self._scales.read(entries, deadline)
        found: list[tuple[PolicyEntry, Resolution]] = []
        including: list[int] = []
        for entry in entries:
            try:
                target = self._resolve(entry, scales)
                if isinstance(target, TargetState) and _includes_configuration(entry):
                    including.append(len(found))
                found.append((entry, target))
            except Exception as error:
                found.append((entry, error))
        if including or self._configurations.in_use:
            await self._with_configuration(found, including, deadline)
        return found

    async def _with_configuration(
        self, found: list[tuple[PolicyEntry, Resolution]], including: Sequence[int], deadline: Deadline
    ) -> None:
        """Add what the pod templates read to the targets of policies that include it."""
        included = set(including)
        for place, (entry, _) in enumerate(found):
            if place not in included and not _includes_configuration(entry):
                self._configurations.forget(entry.uid)
        states = await asyncio.gather(*(self._include(*found[place], deadline) for place in including))
        for place, state in zip(including, states, strict=True):
            found[place] = (found[place][0], state)

    async def _include(self, entry: PolicyEntry, target: Resolution, deadline: Deadline) -> Resolution:
        assert isinstance(target, TargetState)
        try:
            return await self._configurations.include(entry, target, deadline)
        except Exception as error:
            return error

    def _resolve(self, entry: PolicyEntry, scales: Mapping[str, ScaleLookup]) -> TargetState | SkipReason | None:
        """Return the target's state, the reason to skip the policy, or None if it is too early to evaluate."""
        if entry.deleted:
            return None
        if (reason := self._skip_reason(entry)) is not None:
            return reason
        if not self._targets.expectations.met(entry.target):
            return None  # it is enqueued when they are met
        target = scales[entry.uid] if entry.uid in scales else self._targets.get(entry.target)
        if isinstance(target, CallError):
            return _unreadable(entry, target)
        if isinstance(target, Exception):
            raise target
        if target is None:
            return self._missing(entry)
        pause = entry.pause
        return paused(entry, pause, target) if pause is not None and not pause.over(self._clock()) else target

    def _skip_reason(self, entry: PolicyEntry) -> SkipReason | None:
        """Return why a policy is skipped whatever its target is."""
        compiled = entry.compiled
        if compiled.policy is None:
            reason = "PolicyUnreadable" if compiled.unreadable else "InvalidSpec"
            return SkipReason("False", reason, str(compiled.problem))
        if compiled.policy.mode is Mode.SUSPENDED:
            return SkipReason("True", "Suspended", "spec.mode is Suspended: nothing is looked at and nothing is done")
        first = self._store.policies_on(compiled.target)[0]
        if first is entry:
            return None
        kind, _, name = compiled.target
        return SkipReason(
            "False",
            "TargetConflict",
            f"the older policy {first.name} guards {kind} {name} already: delete one of the two, or choose "
            "another target",
        )

    def _missing(self, entry: PolicyEntry) -> SkipReason:
        kind, namespace, name = entry.target
        if reason := self._targets.unreadable(entry.target):
            return SkipReason(
                "False", "TargetUnreadable", f"{reason}. Nothing is done until it can be read: correct it"
            )
        return SkipReason(
            "False",
            "TargetNotFound",
            f"there is no {kind} {name} in namespace {namespace}: create it, or correct spec.targetRef",
        )


def _includes_configuration(entry: PolicyEntry) -> bool:
    policy = entry.compiled.policy
    return policy is not None and policy.release.configuration is not None


def _unreadable(entry: PolicyEntry, error: CallError) -> SkipReason:
    """Explain why a target's /scale cannot be read, and what to change."""
    if error.status == HTTPStatus.FORBIDDEN:
        return SkipReason(
            "False",
            "Forbidden",
            f"the operator may not read the scale of {entry.compiled.kind} {entry.target[2]}: grant its account get "
            "and patch on the kind's scale subresource, with a ClusterRole that has the label "
            f'{SCALE_LABEL}: "true"',
        )
    return SkipReason("False", "UnsupportedTarget", str(error))
