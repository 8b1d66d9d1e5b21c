"""Which pods' requests are read: of the living, and once of the revision that a release has just replaced."""

from __future__ import annotations

from dataclasses import replace

from resilience_operator.decision.model.memory import Memory, Phase, ReleaseMemory
from resilience_operator.decision.model.target import Revision
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.evaluation.signal_reader import _prepare
from resilience_operator.simulation.workload import steady_workload
from tests.unit.runtime.test_policies import policy

NOW = 1e9
TARGET = steady_workload(3, "b", NOW).state(NOW)
OLD = Revision("a", "checkout-a", 1, 0.0, 0, 0)


def entry_of(revision: str) -> PolicyEntry:
    """A policy that scales on CPU and guards releases by errors; its memory stands at `revision`."""
    body = policy("p", 1)
    body["spec"]["rules"] = [
        {"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]},
        {"name": "bad", "when": {"signal": "error-rate", "above": "1%"}, "then": [{"pauseRollout": {}}]},
    ]
    entry = PolicyCache().upsert(body)[0]
    entry.memory = Memory(release=ReleaseMemory(Phase.STABLE, 0.0, revision))
    return entry


def owners(entry: PolicyEntry) -> dict[str, set[str]]:
    return {request.signal.name: set(request.owners.values()) for request in entry.requests}


def test_a_fast_rollout_is_compared_with_the_pods_that_it_ended() -> None:
    """Without their requests there would be nothing to compare the release with."""
    target = replace(TARGET, revisions=(OLD, *TARGET.revisions))
    entry = entry_of("a")
    _prepare(entry, target)
    assert owners(entry) == {"cpu": {"b"}, "error-rate": {"a", "b"}}
    entry.memory = Memory(release=ReleaseMemory(Phase.BAKING, 0.0, "b"))
    _prepare(entry, target)
    assert owners(entry) == {"cpu": {"b"}, "error-rate": {"b"}}, "only once: then its share in the window fades"


def test_revisions_with_one_owner_keep_the_newest() -> None:
    """As in a StatefulSet, whose pods do not name their revision."""
    owner = TARGET.revisions[0].owner
    target = replace(TARGET, revisions=(replace(OLD, owner=owner), *TARGET.revisions))
    entry = entry_of("a")
    _prepare(entry, target)
    assert owners(entry) == {"cpu": {"b"}, "error-rate": {"b"}}


def test_nothing_more_is_read_without_a_release() -> None:
    target = replace(TARGET, revisions=(OLD, *TARGET.revisions))
    entry = entry_of("b")
    _prepare(entry, target)
    assert owners(entry) == {"cpu": {"b"}, "error-rate": {"b"}}
    assert entry.requests_for is target.revisions
