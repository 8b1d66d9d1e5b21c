"""How long a watch may say nothing: what is not confirmed is not known, and what was never listed is not ready."""

from __future__ import annotations

import time

import pytest
from prometheus_client import REGISTRY

from resilience_operator.runtime.cache.contact import SILENCE, Contacts, PolicyContact

METRIC = "resilience_watch_last_contact_timestamp_seconds"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_watch_is_held_to_its_own_last_contact() -> None:
    clock = Clock()
    heard: dict[str, float | None] = {"deployments": None, "replicasets": 1000.0}
    contacts = Contacts(clock)
    contacts.add("deployments", lambda: heard["deployments"])
    contacts.add("replicasets", lambda: heard["replicasets"])
    assert contacts.not_ready() == "no contact with the API server about: deployments (not listed yet)"
    heard["deployments"] = 1000.0
    assert contacts.not_ready() == ""
    clock.now += SILENCE
    assert contacts.not_ready() == "", "idle is not blind"
    clock.now += 1
    heard["replicasets"] = clock.now
    assert contacts.not_ready() == "no contact with the API server about: deployments (for 151 s)"
    heard["deployments"] = clock.now
    assert contacts.not_ready() == ""


def test_what_may_not_be_seen_at_all_does_not_hold_up_the_rest_but_is_measured() -> None:
    clock, heard = Clock(), [None, 1000.0]
    contacts = Contacts(clock)
    contacts.add("nodes", lambda: heard[0], optional=True)
    assert contacts.not_ready() == ""
    assert REGISTRY.get_sample_value(METRIC, {"resource": "nodes"}) == 0
    heard.pop(0)
    assert REGISTRY.get_sample_value(METRIC, {"resource": "nodes"}) == pytest.approx(time.time(), abs=60)
    clock.now += 2 * SILENCE
    assert contacts.not_ready() == "no contact with the API server about: nodes (for 300 s)"


def test_a_policy_that_a_list_shows_and_the_watch_does_not_makes_the_contact_old() -> None:
    clock = Clock()
    contact = PolicyContact(clock)
    assert contact.last() is None
    contact.listed()
    contact.expect("uid-1")
    clock.now = 1300.0
    contact.expect("uid-1")
    contact.listed()
    assert contact.last() == 1000.0
    contact.delivered("uid-1")
    assert contact.last() == 1300.0
