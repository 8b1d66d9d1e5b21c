"""Which shard a namespace is in, and that shares become fair while as little moves as can."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.kube.coordination.shard_assignment import rebalance, shard_of

Holdings = dict[str, tuple[int, ...]]

namespaces = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=63)
replicas = st.lists(st.sampled_from([f"pod-{n}" for n in range(12)]), min_size=1, max_size=12, unique=True)
numbers = st.integers(1, 40)


@pytest.mark.parametrize(
    ("namespace", "shards", "shard"), [("shop", 1, 0), ("shop", 8, 6), ("payments", 8, 4), ("payments", 16, 4)]
)
def test_the_hash_is_the_same_in_every_version(namespace: str, shards: int, shard: int) -> None:
    """Two versions that run at once have to agree. When this fails, the Lease's holder needs another name."""
    assert shard_of(namespace, shards) == shard


@given(namespaces, numbers)
def test_one_shard_more_moves_only_what_it_takes(namespace: str, shards: int) -> None:
    assert shard_of(namespace, shards + 1) in (shard_of(namespace, shards), shards)


def test_namespaces_are_spread_evenly() -> None:
    found = Counter(shard_of(f"team-{n}", 8) for n in range(8000))
    assert set(found) == set(range(8))
    # Four standard deviations of a binomial with p = 1/8 around 1,000.
    assert all(abs(count - 1000) < 120 for count in found.values()), found


def settled(shards: int, holdings: Holdings) -> tuple[Holdings, int]:
    """What all come to, one step after the other, and how many shards were taken on the way."""
    taken = 0
    for _ in range(3):
        for replica in holdings:
            share = rebalance(replica, shards, holdings)
            kept = tuple(shard for shard in holdings[replica] if shard not in share.release)
            holdings = holdings | {replica: (*kept, *share.acquire)}
            taken += len(share.acquire)
    return holdings, taken


@given(numbers, replicas)
def test_every_shard_has_one_holder_and_all_hold_a_fair_number(shards: int, names: list[str]) -> None:
    found, taken = settled(shards, dict.fromkeys(names, ()))
    assert sorted(shard for held in found.values() for shard in held) == list(range(shards))
    counts = [len(held) for held in found.values()]
    assert max(counts) - min(counts) <= 1
    assert taken == shards


@given(numbers, replicas)
def test_a_replica_more_moves_its_own_share_alone(shards: int, names: list[str]) -> None:
    before, _ = settled(shards, dict.fromkeys(names, ()))
    after, taken = settled(shards, before | {"newcomer": ()})
    assert len(after["newcomer"]) == shards // (len(names) + 1)
    assert taken == len(after["newcomer"])
    for name in names:
        assert set(after[name]) <= set(before[name])


@given(numbers, replicas, st.data())
def test_a_replica_less_moves_its_own_share_alone(shards: int, names: list[str], data: st.DataObject) -> None:
    before, _ = settled(shards, dict.fromkeys([*names, "other"], ()))
    gone = data.draw(st.sampled_from(sorted(before)))
    left = {name: held for name, held in before.items() if name != gone}
    after, taken = settled(shards, left)
    assert taken == len(before[gone])
    for name, held in left.items():
        assert set(held) <= set(after[name])


def test_who_holds_too_many_gives_what_it_took_last() -> None:
    share = rebalance("one", 6, {"one": (4, 2, 0, 1, 3, 5), "two": ()})
    assert share.release == (1, 3, 5)
    assert share.acquire == ()


def test_a_replica_too_many_holds_nothing() -> None:
    found, _ = settled(2, dict.fromkeys(("one", "two", "three"), ()))
    assert found == {"one": (0,), "two": (), "three": (1,)}
