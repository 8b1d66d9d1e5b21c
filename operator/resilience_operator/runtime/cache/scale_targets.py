"""Reads targets whose only known interface is `/scale`, once per evaluation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.scale_subresource import Scales
from resilience_operator.resilience import Deadline, NotFound
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.cache.targets import WATCHED_KINDS, TargetCache

ScaleLookup = TargetState | Exception | None
"""The target, the error that prevented reading it, or None if the object does not exist."""


class ScaleTargetReader:
    """Reads the `/scale` subresources for a batch of policies."""

    def __init__(self, kube: KubeClient, targets: TargetCache) -> None:
        self._scales = Scales(kube)
        self._targets = targets

    async def read(self, entries: Sequence[PolicyEntry], deadline: Deadline) -> dict[str, ScaleLookup]:
        """Read the targets, by policy uid. Policies on watched kinds are omitted."""
        asked = [e for e in entries if e.policy is not None and e.target[0] not in WATCHED_KINDS]
        found = await asyncio.gather(*(self._read(e, deadline) for e in asked))
        return {entry.uid: one for entry, one in zip(asked, found, strict=True)}

    async def _read(self, entry: PolicyEntry, deadline: Deadline) -> ScaleLookup:
        _, namespace, name = entry.target
        try:
            return await self._scales.read(
                entry.compiled.api_version,
                entry.compiled.kind,
                namespace,
                name,
                deadline=deadline,
                hpa=self._targets.autoscaler(entry.target),
            )
        except NotFound:
            return None
        except Exception as error:  # a CallError, or malformed content of the object; other policies are not affected
            return error
