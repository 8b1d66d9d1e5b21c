"""All that a collector finds, in the order in which it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resilience_operator.decision.model.observation import Observation
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.model import SignalRequest


async def observed(collector: SignalCollector, requests: Sequence[SignalRequest], **how: Any) -> list[Observation]:
    """One observation for each request, once all are there."""
    found: dict[int, list[Observation]] = {}
    async for portion in collector.collect([requests], **how):
        found |= {number: findings.observations() for number, findings in portion}
    return found[0]
