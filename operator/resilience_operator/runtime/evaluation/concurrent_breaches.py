"""Tells whether other workloads came into breach at the same time: a shared incident is then likelier than a release.

Only the times of breaches are kept, in this process. Counting them by time keeps a question cheap if all policies are
in breach at once.
"""

from __future__ import annotations

from collections import Counter

from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES

STEP = 15.0
"""Seconds of one time step: the longest usual time between two scrapes."""


KEPT_STEPS = 240
"""Steps for which a breach is kept: one hour. Policies that were deleted in breach are forgotten that way."""


class ConcurrentBreaches:
    """When the guarded workloads of this process came into breach."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        self._counts: Counter[int] = Counter()
        self._newest = 0

    def record(self, policy: Policy, memory: Memory) -> None:
        """Keep when the rules that guard releases came into breach, or forget it if none is."""
        began = breach_began(policy, memory)
        step = None if began is None else int(began // STEP)
        if step == self._steps.get(policy.uid):
            return
        self.forget(policy.uid)
        if step is not None:
            self._steps[policy.uid] = step
            self._counts[step] += 1
            self._drop_old(step)

    def forget(self, uid: str) -> None:
        """Forget a policy."""
        before = self._steps.pop(uid, None)
        if before is not None:
            self._counts[before] -= 1
            if not self._counts[before]:
                del self._counts[before]

    def _drop_old(self, step: int) -> None:
        """Drop breaches that are older than an hour, once an hour."""
        if step < self._newest + KEPT_STEPS:
            return
        self._newest = step
        for uid in [uid for uid, began in self._steps.items() if began < step - KEPT_STEPS]:
            self.forget(uid)

    def shared(self, policy: Policy, memory: Memory) -> bool:
        """Return whether another workload is in breach since the same time, within the policy's look-back.

        False if no release of the policy's target is analysed, because nothing asks for it then.
        """
        if not self._steps or memory.release is None or memory.release.phase not in ANALYSED_PHASES:
            return False
        began = breach_began(policy, memory)
        if began is None:
            return False
        own, reach = int(began // STEP), int(policy.window // STEP)
        found = sum(self._counts[step] for step in range(own - reach, own + reach + 1) if step in self._counts)
        mine = self._steps.get(policy.uid)
        known = mine is not None and abs(mine - own) <= reach
        return found > (1 if known else 0)


def breach_began(policy: Policy, memory: Memory) -> float | None:
    """Return when the first rule that guards releases came into breach, in seconds since the epoch; None if none is."""
    began = [
        crossed
        for rule in policy.rules
        if rule.guards_release and (kept := memory.rules.get(rule.name)) is not None
        for timer in (*kept.timers, *kept.release_timers)
        if (crossed := timer.crossed) is not None
    ]
    return min(began, default=None)
