"""What a policy leaves on its target when it goes: nothing.

A pause of the operator's own is lifted and an HPA's minReplicas is given back, and both are told. What is the
operator's own is read from the objects themselves (field manager, annotation), so it is found too when the policy was
deleted while no operator ran. Replicas stay as they are: taking pods away because a policy is gone would be an outage.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection

from resilience_operator.decision.model.target import MANAGER, TargetState
from resilience_operator.kube.client import events
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes import hpa, mutations
from resilience_operator.resilience import CallError, Conflict, Deadline, NotFound
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import TargetKey
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.containment import Stage, contain

log = logging.getLogger(__name__)

TIME = 20.0
"""Seconds for one target."""


class Cleanup:
    """Gives back what no policy asks for any more."""

    def __init__(self, kube: KubeClient, store: PolicyCache, targets: TargetCache, *, dry_run: bool) -> None:
        self._kube = kube
        self._store = store
        self._targets = targets
        self._dry_run = dry_run
        self._under_way: Counter[str] = Counter()

    @property
    def under_way(self) -> Collection[str]:
        """The namespaces in which something is being given back."""
        return +self._under_way

    async def restore_orphans(self, within: Callable[[str], bool]) -> None:
        """Look at every target in these namespaces that bears a mark of the operator's."""
        for key in tuple(self._targets.with_leftovers()):
            if within(key[1]):
                await self.restore_target(key)

    async def restore_target(self, key: TargetKey) -> None:
        """Give one target back, unless some policy guards it. Never raises but for cancellation."""
        if self._dry_run or self._store.policies_on(key):
            return
        try:
            target = self._targets.get(key)
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
            if target.hpa is not None and target.hpa.original_min is not None:
                await hpa.restore_hpa_min(self._kube, target, deadline=Deadline.after(TIME))
                await self._report(
                    target,
                    "MinimumRestored",
                    f"no policy guards it any more: minReplicas of HPA {target.hpa.name} is "
                    f"{target.hpa.original_min} again",
                )
        except (Conflict, NotFound) as error:
            log.info("%s %s/%s changed while it was given back; looked at again later: %s", *key, error)
        except CallError as error:
            log.warning("%s %s/%s could not be given back yet: %s", *key, error)
        except Exception as error:
            contain(Stage.CLEANUP, target.namespace, f"{target.kind} {target.name}", error)
        finally:
            self._under_way[target.namespace] -= 1

    async def _report(self, target: TargetState, reason: str, message: str) -> None:
        log.info("%s %s/%s: %s", target.kind, target.namespace, target.name, message)
        await events.record(
            self._kube,
            events.ObjectRef("apps/v1", target.kind, target.namespace, target.name, target.uid),
            key=f"{reason}/{target.resource_version}",
            type="Normal",
            reason=reason,
            action="GaveBack",
            message=message,
        )
