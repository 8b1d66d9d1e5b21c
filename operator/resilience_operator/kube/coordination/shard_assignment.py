"""Assignment of namespaces to shards, and of shards to replicas. Pure.

Sharding is by namespace, so that all policies on one target, and the queries that a namespace shares, stay together.
Rendezvous hashing (Thaler and Ravishankar, 1998, "Using name-based mappings to increase hit rates"): each shard gets a
hash value for the namespace and the highest wins. An additional shard takes the same share from each other shard, and
nothing moves between those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

Holdings = Mapping[str, Sequence[int]]
"""Each replica's shards, in the order of acquisition."""


@lru_cache(maxsize=50_000)
def shard_of(namespace: str, shards: int) -> int:
    """The shard of a namespace, from 0 to shards - 1. Identical in each process and version."""
    return max(range(shards), key=lambda shard: blake2b(f"{shard}/{namespace}".encode(), digest_size=8).digest())


@dataclass(frozen=True, slots=True)
class Rebalance:
    """The shards that a replica should release and acquire, so that shards are evenly distributed."""

    release: tuple[int, ...] = ()
    acquire: tuple[int, ...] = ()


def rebalance(replica: str, shards: int, holdings: Holdings) -> Rebalance:
    """The step that brings one of the replicas in `holdings` to its even share.

    After all replicas have done theirs, the numbers differ by at most one. Only necessary moves are made: free shards
    are acquired, and a replica that holds too many releases those that it acquired last.
    """
    mine = holdings[replica]
    fair = _fair(shards, holdings)[replica]
    held = {shard for each in holdings.values() for shard in each}
    free = [shard for shard in range(shards) if shard not in held]
    return Rebalance(release=tuple(mine[fair:]), acquire=tuple(free[: max(0, fair - len(mine))]))


def _fair(shards: int, holdings: Holdings) -> Mapping[str, int]:
    # The remainder goes to the replicas that hold most.
    ranked = sorted(holdings, key=lambda replica: (-len(holdings[replica]), replica))
    each, rest = divmod(shards, len(ranked))
    return {replica: each + (place < rest) for place, replica in enumerate(ranked)}
