"""Increments of pods whose names do not tell their revision, as in StatefulSets and DaemonSets."""

from __future__ import annotations

from dataclasses import replace

from resilience_operator.decision.analysis.increments import with_revisions
from resilience_operator.decision.model.observation import Increment, Measured, Observation
from resilience_operator.decision.model.target import Pod
from tests.unit.decision.builders import target

SEEN = Observation(10.0, Measured(0.1, 100, 10), since=5.0)
TARGET = target()


def pod(name: str, revision: str) -> Pod:
    return Pod(name=name, revision=revision, created=0.0, ready=True)


def test_the_listed_pods_tell_the_revision_and_an_unknown_pod_counts_for_neither() -> None:
    seen = SEEN._replace(increments=tuple(Increment(f"db-{n}", "", 10, n) for n in range(3)))
    found = with_revisions(seen, replace(TARGET, pods=(pod("db-0", "a"), pod("db-1", "b"))))
    assert [(part.pod, part.revision, part.events) for part in found.increments] == [("db-0", "a", 0), ("db-1", "b", 1)]
    assert found.since == 5.0


def test_without_listed_pods_there_are_no_increments() -> None:
    """Then the release is judged by windows, as a signal that cannot be split."""
    seen = SEEN._replace(increments=(Increment("db-0", "", 10, 1),))
    for pods in (None, (), (pod("db-1", "b"),)):
        found = with_revisions(seen, replace(TARGET, pods=pods))
        assert (found.increments, found.since) == ((), None)


def test_names_that_tell_the_revision_are_left_alone() -> None:
    seen = SEEN._replace(increments=(Increment("web-1-x", "a", 10, 1),))
    assert with_revisions(seen, TARGET) is seen
    assert with_revisions(SEEN, TARGET) is SEEN
