"""Whose revision a ReplicaSet or a ControllerRevision is, what it is called, and which selectors match."""

from __future__ import annotations

from typing import Any

import pytest

from resilience_operator.kube.cache.controller_revisions import project_controller_revision
from resilience_operator.kube.cache.daemonsets import daemon_set_state, project_daemon_set
from resilience_operator.kube.cache.deployments import deployment_state, project_deployment, project_replica_set
from resilience_operator.kube.cache.selectors import label_text, selector_of
from resilience_operator.kube.cache.statefulsets import project_stateful_set, stateful_set_state

Obj = dict[str, Any]
SELECTOR: Obj = {
    "matchLabels": {"app": "web"},
    "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["front", "edge"]},
        {"key": "canary", "operator": "DoesNotExist"},
    ],
}
LABELS = {"app": "web", "tier": "edge"}
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


def template(image: str) -> Obj:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "web", "image": image}]}}


def workload(kind: str, name: str = "web") -> Obj:
    status = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    if kind == "StatefulSet":
        status |= {"currentRevision": f"{name}-good", "updateRevision": f"{name}-good"}  # type: ignore[dict-item]
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": "u", "resourceVersion": "9", "generation": 3},
        "spec": {"replicas": 2, "selector": SELECTOR, "template": template("v1")},
        "status": status,
    }


def kept(kind: str, name: str = "web-good", image: str = "v1", **metadata: Any) -> Obj:
    """A revision as its controller makes it; metadata: what is different."""
    obj: Obj = {
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:01Z",
            "labels": {**LABELS, "pod-template-hash": "good", "controller-revision-hash": "good"},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": "u", "controller": True}],
            **metadata,
        }
    }
    if kind == "Deployment":
        return {**obj, "spec": {"replicas": 2, "template": template(image)}, "status": {"replicas": 2}}
    return {**obj, "data": {"spec": {"template": {"$patch": "replace", **template(image)}}}, "revision": 1}


def names(kind: str, *objs: Obj, name: str = "web") -> list[str]:
    if kind == "Deployment":
        sets = [rs for rs in map(project_replica_set, objs) if rs is not None]
        state = deployment_state(project_deployment(workload(kind, name)), sets)
    else:
        records = [r for r in map(project_controller_revision, objs) if r is not None]
        if kind == "StatefulSet":
            state = stateful_set_state(project_stateful_set(workload(kind, name)), records)
        else:
            state = daemon_set_state(project_daemon_set(workload(kind, name)), records)
    return [r.name for r in state.revisions]


def owner(of: str, **changes: Any) -> list[Obj]:
    return [{"apiVersion": "apps/v1", "kind": of, "name": "web", "uid": "u", "controller": True, **changes}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "different",
    [
        pytest.param(lambda _: {"namespace": "tenant-a"}, id="another namespace"),
        pytest.param(lambda k: {"ownerReferences": owner(k, uid="another")}, id="another owner"),
        pytest.param(lambda k: {"ownerReferences": owner(k, controller=False)}, id="an owner that does not control"),
        pytest.param(lambda k: {"ownerReferences": owner(k, controller=None)}, id="an owner, controller not said"),
        pytest.param(lambda _: {"ownerReferences": owner("Rollout")}, id="another kind"),
        pytest.param(
            lambda k: {"ownerReferences": owner("DaemonSet" if k == "StatefulSet" else "StatefulSet")},
            id="another kind of apps",
        ),
        pytest.param(lambda k: {"ownerReferences": owner(k, apiVersion="example.org/v1")}, id="another API group"),
        pytest.param(lambda _: {"ownerReferences": None}, id="no owner"),
        pytest.param(lambda _: {"labels": {"app": "web"}}, id="matchExpressions: a label is missing"),
        pytest.param(lambda _: {"labels": {**LABELS, "tier": "back"}}, id="matchExpressions: another value"),
        pytest.param(lambda _: {"labels": {**LABELS, "canary": ""}}, id="matchExpressions: a label too many"),
        pytest.param(lambda _: {"labels": {**LABELS, "app": "webx"}}, id="matchLabels: a value that begins alike"),
        pytest.param(lambda _: {"labels": {"xapp": "web", "tier": "edge"}}, id="matchLabels: a key that ends alike"),
        pytest.param(lambda _: {"labels": None}, id="no labels"),
        pytest.param(lambda _: {"deletionTimestamp": "2026-01-01T00:00:09Z"}, id="under deletion"),
    ],
)
def test_what_is_not_the_workload_s_own_is_no_revision(kind: str, different: Any) -> None:
    own = "web-good" if kind == "StatefulSet" else "good"
    assert names(kind, kept(kind), kept(kind, "web-other", **different(kind))) == [own]


@pytest.mark.parametrize("kind", KINDS)
def test_what_its_controller_made_is_its_own(kind: str) -> None:
    assert len(names(kind, kept(kind))) == 1
    assert len(names(kind, kept(kind, ownerReferences=owner(kind, apiVersion="apps/v1beta2")))) == 1
    assert len(names(kind, kept(kind, ownerReferences=owner(kind, apiVersion="extensions/v1beta1")))) == 1


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
def test_no_two_revisions_have_one_name(kind: str) -> None:
    """All carry the label of the good one, as whoever may create such objects may write it."""
    planted = [kept(kind, name) for name in ("web", "good", "x-good", "webx-good", "web-x-good", "-good", "web-")]
    found = names(kind, kept(kind), *planted)
    assert len(set(found)) == len(found) == 8
    assert found.count("good") == 1


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
def test_a_label_that_is_edited_renames_nothing(kind: str) -> None:
    assert names(kind, kept(kind, labels={**LABELS, "pod-template-hash": "x", "controller-revision-hash": "x"})) == [
        "good"
    ]


def test_a_long_name_is_cut_for_its_hash() -> None:
    long = "w" * 250
    made = kept("Deployment", f"{long[:248]}-good", ownerReferences=owner("Deployment", name=long))
    assert names("Deployment", made, name=long) == ["good"]


def test_a_revision_says_what_it_was_read_from() -> None:
    record = project_replica_set(kept("Deployment"))
    assert record is not None
    state = deployment_state(project_deployment(workload("Deployment")), [record])
    revision = state.revisions[0]
    assert (revision.kept_in, revision.uid) == ("web-good", "uid-web-good")
    assert revision.template == state.template
    edited = project_replica_set(kept("Deployment", image="planted"))
    assert edited is not None
    assert (
        deployment_state(project_deployment(workload("Deployment")), [edited]).revisions[0].template != state.template
    )


@pytest.mark.parametrize(
    "data",
    [
        None,
        "text",
        7,
        [],
        {"spec": None},
        {"spec": {"template": []}},
        {"spec": {"template": {"metadata": "x"}}},
        {"spec": {"template": {"metadata": {"labels": ["pod-template-hash"]}}}},
        {"spec": {"template": {"metadata": {"labels": None}, "spec": "\ud800"}}},
    ],
)
def test_a_controller_revision_may_hold_any_json(data: Any) -> None:
    odd = kept("StatefulSet")
    odd["data"] = data
    assert project_controller_revision(odd) is not None


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1", "b": "2"}}, {"a": "1"}, False),
        ({"matchLabels": {"a": ""}}, {"a": ""}, True),
        ({"matchLabels": {"a": ""}}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"aa": ""}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"b": "1"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}, {"a": "2"}, False),
        ({}, {"a": "1"}, False),
        (None, {"a": "1"}, False),
    ],
)
def test_a_selector(selector: Obj | None, labels: dict[str, str], matches: bool) -> None:
    assert selector_of({"selector": selector}).matches(label_text(labels)) is matches
