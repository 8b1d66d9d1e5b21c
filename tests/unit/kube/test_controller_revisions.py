"""StatefulSets and DaemonSets: which revision is the current one, and is it out."""

from __future__ import annotations

from typing import Any

import pytest

from resilience_operator.kube.cache.controller_revisions import project_controller_revision
from resilience_operator.kube.cache.daemonsets import daemon_set_state, project_daemon_set
from resilience_operator.kube.cache.statefulsets import project_stateful_set, stateful_set_state

Obj = dict[str, Any]


def template(image: str) -> Obj:
    return {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": image}]}}


def workload(image: str, spec: Obj, status: Obj, observed: int = 3) -> Obj:
    return {
        "metadata": {"namespace": "shop", "name": "db", "uid": "u", "resourceVersion": "9", "generation": 3},
        "spec": {**spec, "selector": {"matchLabels": {"app": "db"}}, "template": template(image)},
        "status": {"observedGeneration": observed, **status},
    }


def revision(kind: str, hash_: str, image: str, number: int, owner: str = "u") -> Obj:
    return {
        "metadata": {
            "namespace": "shop",
            "name": f"db-{hash_}",
            "uid": f"uid-{hash_}",
            "resourceVersion": "5",
            "creationTimestamp": f"2026-01-01T00:00:{number:02}Z",
            "labels": {
                "app": "db",
                "controller-revision-hash" if kind == "DaemonSet" else "controller.kubernetes.io/hash": hash_,
            },
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "uid": owner, "controller": True}],
        },
        "data": {"spec": {"template": {"$patch": "replace", **template(image)}}},
        "revision": number,
    }


def stateful(replicas: int, total: int, updated: int, ready: int, newest: str = "db-bb") -> tuple[Obj, Obj]:
    status = {"replicas": total, "updatedReplicas": updated, "readyReplicas": ready}
    return {"replicas": replicas}, {**status, "currentRevision": "db-aa", "updateRevision": newest}


@pytest.mark.parametrize(
    ("image", "numbers", "observed", "current", "rolled_out", "pods"),
    [
        pytest.param("v2", stateful(3, 3, 3, 3), 3, "db-bb", True, [(0, 0), (3, 3)], id="out"),
        pytest.param("v2", stateful(3, 3, 1, 3), 3, "db-bb", False, [(2, 2), (1, 1)], id="on its way"),
        pytest.param("v2", stateful(3, 3, 1, 2), 3, "db-bb", False, [(2, 2), (1, 0)], id="the new one not ready"),
        pytest.param("v2", stateful(5, 3, 3, 3), 3, "db-bb", False, [(0, 0), (3, 3)], id="scaling up"),
        pytest.param("v2", stateful(3, 3, 3, 3), 2, "db-bb", False, [(0, 0), (3, 3)], id="not observed yet"),
        pytest.param("v3", stateful(3, 3, 3, 3), 2, None, False, [(0, 0), (3, 3)], id="no revision yet"),
        pytest.param(
            "v2 with a new default", stateful(3, 3, 3, 3), 3, "db-bb", True, [(0, 0), (3, 3)],
            id="the API server fills in more than when the revision was made",
        ),
        pytest.param("v1", stateful(3, 3, 3, 3), 2, "db-aa", False, [(0, 0), (3, 3)], id="rolled back just now"),
    ],
)  # fmt: skip
def test_a_stateful_set(
    image: str,
    numbers: tuple[Obj, Obj],
    observed: int,
    current: str | None,
    rolled_out: bool,
    pods: list[tuple[int, int]],
) -> None:
    kept = [
        project_controller_revision(revision("StatefulSet", h, i, n)) for h, i, n in [("aa", "v1", 1), ("bb", "v2", 2)]
    ]
    records = [record for record in kept if record is not None]
    state = stateful_set_state(project_stateful_set(workload(image, *numbers, observed)), records)
    assert (state.kind, state.revision, state.rolled_out) == ("StatefulSet", current, rolled_out)
    assert [(r.name, r.owner, r.number) for r in state.revisions] == [("db-aa", "db", 1), ("db-bb", "db", 2)]
    assert [(r.replicas, r.ready) for r in state.revisions] == pods


def daemons(desired: int, total: int, updated: int, ready: int) -> Obj:
    return {
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": total,
        "updatedNumberScheduled": updated,
        "numberReady": ready,
    }


@pytest.mark.parametrize(
    ("image", "status", "observed", "current", "rolled_out", "pods"),
    [
        pytest.param("v2", daemons(6, 6, 6, 6), 3, "bb", True, [(0, 0), (6, 6)], id="out"),
        pytest.param("v2", daemons(6, 6, 2, 5), 3, "bb", False, [(4, 4), (2, 1)], id="on its way"),
        pytest.param("v2", daemons(6, 6, 6, 5), 3, "bb", False, [(0, 0), (6, 5)], id="one not ready"),
        pytest.param("v2", daemons(0, 0, 0, 0), 3, "bb", True, [(0, 0), (0, 0)], id="no node suits it"),
        pytest.param("v3", daemons(6, 6, 6, 6), 2, None, False, [(0, 0), (0, 0)], id="no revision yet"),
        pytest.param("other default", daemons(6, 6, 6, 6), 3, "bb", True, [(0, 0), (6, 6)], id="new default"),
    ],
)
def test_a_daemon_set(
    image: str, status: Obj, observed: int, current: str | None, rolled_out: bool, pods: list[tuple[int, int]]
) -> None:
    kept = [
        project_controller_revision(revision("DaemonSet", h, i, n)) for h, i, n in [("bb", "v2", 2), ("aa", "v1", 1)]
    ]
    records = [record for record in kept if record is not None]
    state = daemon_set_state(project_daemon_set(workload(image, {}, status, observed)), records)
    assert (state.kind, state.revision, state.rolled_out) == ("DaemonSet", current, rolled_out)
    assert state.replicas == status["desiredNumberScheduled"]
    if current is not None:
        assert [(r.replicas, r.ready) for r in state.revisions] == pods


def test_others_revisions_are_left_out() -> None:
    mine = project_controller_revision(revision("StatefulSet", "aa", "v1", 1))
    theirs = project_controller_revision(revision("StatefulSet", "bb", "v1", 2, owner="another"))
    assert mine is not None
    assert theirs is not None
    state = stateful_set_state(project_stateful_set(workload("v1", *stateful(1, 1, 1, 1, "db-aa"))), [mine, theirs])
    assert [r.name for r in state.revisions] == ["db-aa"]
    assert project_controller_revision(revision("CloneSet", "aa", "v1", 1)) is None
    orphan = revision("StatefulSet", "aa", "v1", 1)
    del orphan["metadata"]["ownerReferences"]
    assert project_controller_revision(orphan) is None


def test_a_revision_whose_number_grows_keeps_its_digest() -> None:
    before = project_controller_revision(revision("StatefulSet", "aa", "v1", 1))
    again = revision("StatefulSet", "aa", "v1", 4)
    del again["data"]  # would be missed if it were read
    after = project_controller_revision(again, before)
    assert before is not None
    assert after is not None
    assert (after.number, after.template) == (4, before.template)


def test_data_that_is_no_template_is_no_error() -> None:
    odd = revision("StatefulSet", "aa", "v1", 1)
    odd["data"] = {"something": "else"}
    assert project_controller_revision(odd) is not None
