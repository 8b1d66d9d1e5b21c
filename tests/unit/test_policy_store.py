"""A full list and the watch run side by side: whichever is older, nothing is lost and nothing comes back."""

from __future__ import annotations

from typing import Any

from resilience_operator.runtime.store import PolicyStore

SPEC = {
    "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
    "rules": [{"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]}],
}


def policy(name: str, version: int) -> dict[str, Any]:
    meta = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"metadata": meta, "spec": SPEC}


def known(store: PolicyStore) -> list[str]:
    return sorted(entry.name for entry in store)


def test_a_policy_made_while_the_list_was_on_its_way_stays() -> None:
    store = PolicyStore()
    store.put(policy("old", 5))
    store.put(policy("new", 12))
    _, gone = store.replace([policy("old", 5)], "10")
    assert gone == []
    assert known(store) == ["new", "old"]


def test_a_policy_that_the_list_no_longer_has_goes() -> None:
    store = PolicyStore()
    store.put(policy("old", 5))
    _, gone = store.replace([], "10")
    assert [entry.name for entry in gone] == ["old"]
    assert known(store) == []


def test_a_policy_deleted_while_the_list_was_on_its_way_does_not_come_back() -> None:
    store = PolicyStore()
    store.put(policy("old", 5))
    store.drop("uid-old")
    changed, gone = store.replace([policy("old", 5)], "4")
    assert (changed, gone, known(store)) == ([], [], [])
    assert store.guarding(("Deployment", "shop", "checkout")) == []
