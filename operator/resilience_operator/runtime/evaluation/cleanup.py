"""Restores targets that no policy references any more.

A rollout paused by the operator is resumed, a hold of its reconciliation is lifted, and the HPA's minReplicas is
restored. Each is reported as an Event. The
operator's changes are read from the objects (field manager, annotation). They are found even if the policy was deleted
while no operator was running. Replicas stay as they are: removing pods because a policy was deleted would cause an
outage.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection

from resilience_operator.decision.model.target import MANAGER, TargetState
from resilience_operator.kube.client import events
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes import configuration_delivery, hpa, mutations
from resilience_operator.resilience import CallError, Conflict, Deadline, NotFound
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import TargetKey
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.containment import Stage, contain

log = logging.getLogger(__name__)

TIME = 20.0
"""Timeout in seconds for one target."""


class Cleanup:
    """Reverts the operator's changes on targets without a policy."""

    def __init__(self, kube: KubeClient, store: PolicyCache, targets: TargetCache, *, dry_run: bool) -> None:
        self._kube = kube
        self._store = store
        self._targets = targets
        self._dry_run = dry_run
        self._under_way: Counter[str] = Counter()

    @property
    def under_way(self) -> Collection[str]:
        """Namespaces in which a cleanup is in progress."""
        return +self._under_way

    async def restore_orphans(self, within: Callable[[str], bool]) -> None:
        """Restore every target without a policy in these namespaces, and give up fields that a crash left owned.

        Waits until the targets are listed.
        """
        await self._targets.synced()
        for key in tuple(self._targets.with_leftovers()):
            if within(key[1]):
                await self.restore_target(key)
        for key in set(self._targets.with_owned_fields()):
            if within(key[1]):
                await self._hand_back(key)

    async def restore_target(self, key: TargetKey) -> None:
        """Restore one target, unless a policy references it. Raises only CancelledError."""
        if self._dry_run or self._store.policies_on(key):
            return
        try:
            target = self._targets.get(key) or self._targets.autoscaled(key)
        except Exception as error:
            contain(Stage.CLEANUP, key[1], f"{key[0]} {key[2]}", error)
            return
        if target is None:
            return
        self._under_way[target.namespace] += 1
        try:
            if target.paused and target.paused_by == MANAGER:
                await mutations.resume(self._kube, target, deadline=Deadline.after(TIME))
                await self._report(
                    target, "RolloutResumed", "no policy guards it any more: the operator's pause is lifted"
                )
            if target.hold_marked:
                await configuration_delivery.lift_holds(self._kube, target, deadline=Deadline.after(TIME))
                await mutations.lift_hold(self._kube, target, deadline=Deadline.after(TIME))
                await self._report(
                    target, "ReconciliationResumed", f"no policy guards it any more: {target.delivered_by} applies it"
                )
            if target.hpa is not None and target.hpa.original_min is not None:
                if target.hpa.raised_from is None:
                    await hpa.forget_original(self._kube, target, deadline=Deadline.after(TIME))
                    return
                await hpa.restore_hpa_min(self._kube, target, deadline=Deadline.after(TIME))
                await self._report(
                    target,
                    "MinimumRestored",
                    f"no policy guards it any more: minReplicas of HPA {target.hpa.name} is "
                    f"{target.hpa.original_min} again",
                )
        except (Conflict, NotFound) as error:
            log.info("%s %s/%s changed during cleanup; it is retried later: %s", *key, error)
        except CallError as error:
            log.warning("%s %s/%s could not be restored yet: %s", *key, error)
        except Exception as error:
            contain(Stage.CLEANUP, target.namespace, f"{target.kind} {target.name}", error)
        finally:
            self._under_way[target.namespace] -= 1

    async def _hand_back(self, key: TargetKey) -> None:
        """Give up the fields that an interrupted write left owned. Raises only CancelledError."""
        try:
            target = self._targets.get(key)
            if target is not None and not self._dry_run:
                await mutations.hand_back(self._kube, target, deadline=Deadline.after(TIME))
                if target.hpa is not None:
                    await hpa.give_up_minimum(self._kube, target, deadline=Deadline.after(TIME))
        except CallError as error:
            log.warning("%s %s/%s: its fields could not be given up yet: %s", *key, error)
        except Exception as error:
            contain(Stage.CLEANUP, key[1], f"{key[0]} {key[2]}", error)

    async def _report(self, target: TargetState, reason: str, message: str) -> None:
        log.info("%s %s/%s: %s", target.kind, target.namespace, target.name, message)
        if not target.uid:  # of a kind that is not watched
            return
        await events.record(
            self._kube,
            events.ObjectRef("apps/v1", target.kind, target.namespace, target.name, target.uid),
            key=f"{reason}/{target.resource_version}",
            type="Normal",
            reason=reason,
            action="GaveBack",
            message=message,
        )
