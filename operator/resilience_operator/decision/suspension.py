"""Freezes a policy's timers while it is suspended: what was observed before must not count afterwards."""

from __future__ import annotations

from resilience_operator.decision.model.memory import Memory, Phase, RuleMemory
from resilience_operator.decision.model.record import replace


def freeze_timers(memory: Memory, now: float) -> Memory:
    """Return the memory at the start of a suspension; the same object if its timers are already frozen.

    Crossings and stable periods observed before do not count afterwards. A bake stops, as it does without
    measurements. Cooldowns, completed plugin calls, the release and the quarantine are kept.
    """
    rules = {
        name: RuleMemory(
            scaled=rule.scaled, signature=rule.signature, called=rule.called, called_in_dry_run=rule.called_in_dry_run
        )
        for name, rule in memory.rules.items()
    }
    release = memory.release
    if release is not None and release.phase is Phase.BAKING and release.unmeasured is None:
        release = replace(release, unmeasured=now)
    after = replace(
        memory,
        rules=rules,
        scaling=replace(memory.scaling, stable_since=None),
        release=release,
        metrics_missing_since=None,
    )
    return memory if after == memory else after
