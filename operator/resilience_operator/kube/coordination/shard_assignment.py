"""Which shard a namespace is in, and how many shards each replica is to hold. Pure.

By namespace, so that all policies on one target, and the questions that one namespace's policies share, stay together.
Rendezvous hashing (Thaler and Ravishankar, 1998, "Using name-based mappings to increase hit rates"): each shard draws a
number for the namespace and the highest wins. One shard more takes from each other one the same part, and moves nothing
between those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

Holdings = Mapping[str, Sequence[int]]
"""Each replica's shards, in the order in which it took them."""


@lru_cache(maxsize=50_000)
def shard_of(namespace: str, shards: int) -> int:
    """The shard, from 0 to shards - 1, of a namespace. The same in every process and every version."""
    return max(range(shards), key=lambda shard: blake2b(f"{shard}/{namespace}".encode(), digest_size=8).digest())


@dataclass(frozen=True, slots=True)
class Rebalance:
    """What a replica should give away and take, so that all hold a fair number."""

    release: tuple[int, ...] = ()
    acquire: tuple[int, ...] = ()


def rebalance(replica: str, shards: int, holdings: Holdings) -> Rebalance:
    """The step that brings one of the replicas in `holdings` to its fair number.

    When all have taken theirs, the numbers differ by one at most. Nothing moves but what has to: free shards are
    taken, and whoever holds too many gives away what it took last.
    """
    mine = holdings[replica]
    fair = _fair(shards, holdings)[replica]
    held = {shard for each in holdings.values() for shard in each}
    free = [shard for shard in range(shards) if shard not in held]
    return Rebalance(release=tuple(mine[fair:]), acquire=tuple(free[: max(0, fair - len(mine))]))


def _fair(shards: int, holdings: Holdings) -> Mapping[str, int]:
    # Where it does not divide evenly, those that hold most keep the one more.
    ranked = sorted(holdings, key=lambda replica: (-len(holdings[replica]), replica))
    each, rest = divmod(shards, len(ranked))
    return {replica: each + (place < rest) for place, replica in enumerate(ranked)}
