"""From an API server's JSON to a TargetState: which revision is the current one, is it out, and who did it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from resilience_operator.decision.model.target import MANAGER, HorizontalPodAutoscaler, TargetState
from resilience_operator.kube.cache.deployments import deployment_state, project_deployment, project_replica_set
from resilience_operator.kube.cache.hpa import ORIGINAL_MIN, project_autoscaler
from resilience_operator.kube.cache.workloads import (
    count,
    epoch,
    normalized_template,
    number,
    template_digest,
    writers_of,
)

Obj = dict[str, Any]
UID = "11111111-2222-3333-4444-555555555555"


def template(image: str = "shop:v1", **metadata: Any) -> Obj:
    return {
        "metadata": {"labels": {"app": "checkout"}, **metadata},
        "spec": {"containers": [{"name": "web", "image": image, "resources": {}}], "restartPolicy": "Always"},
    }


def deployment(image: str = "shop:v1", **changes: Any) -> Obj:
    """A Deployment that is fully rolled out; changes: dotted paths with `__`, as `spec__paused=True`."""
    obj: Obj = {
        "metadata": {
            "namespace": "shop",
            "name": "checkout",
            "uid": UID,
            "resourceVersion": "700",
            "generation": 4,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "checkout"}}, "template": template(image)},
        "status": {"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3},
    }
    return changed(obj, changes)


def replica_set(label: str, image: str, revision: int, pods: int = 0, **changes: Any) -> Obj:
    made = template(image)
    made["metadata"]["labels"]["pod-template-hash"] = label
    obj: Obj = {
        "metadata": {
            "namespace": "shop",
            "name": f"checkout-{label}",
            "uid": f"uid-{label}",
            "resourceVersion": "600",
            "generation": 1,
            "creationTimestamp": f"2026-01-01T00:00:{revision:02}Z",
            "labels": {"app": "checkout", "pod-template-hash": label},
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout", "uid": UID, "controller": True}
            ],
        },
        "spec": {"replicas": pods, "template": made},
        "status": {"replicas": pods, "readyReplicas": pods},
    }
    return changed(obj, changes)


def changed(obj: Obj, changes: dict[str, Any]) -> Obj:
    for path, value in changes.items():
        *parents, last = path.split("__")
        at = obj
        for part in parents:
            at = at.setdefault(part, {})
        at[last] = value
    return obj


def state(obj: Obj, *sets: Obj, hpa: HorizontalPodAutoscaler | None = None) -> TargetState:
    trimmed = [project_replica_set(rs) for rs in sets]
    return deployment_state(project_deployment(obj), [rs for rs in trimmed if rs is not None], hpa)


OLD, NEW = replica_set("aaaa", "shop:v1", 1), replica_set("bbbb", "shop:v2", 2, pods=3)


@pytest.mark.parametrize(
    ("obj", "sets", "revision", "rolled_out"),
    [
        pytest.param(deployment("shop:v2"), [OLD, NEW], "bbbb", True, id="rolled out"),
        pytest.param(deployment("shop:v3"), [OLD, NEW], None, False, id="no ReplicaSet for it yet"),
        pytest.param(deployment("shop:v1"), [], None, False, id="no ReplicaSets at all"),
        pytest.param(
            deployment("shop:v1", metadata__generation=5),
            [OLD, NEW],
            "aaaa",
            False,
            id="rolled back to an old one, whose number is still the lower",
        ),
        pytest.param(
            deployment("shop:v3", spec__paused=True, status__updatedReplicas=0),
            [OLD, NEW],
            None,
            False,
            id="changed while paused: the highest number is not the current revision",
        ),
        pytest.param(deployment("shop:v2", spec__paused=True), [OLD, NEW], "bbbb", True, id="paused when it was out"),
        pytest.param(
            deployment("shop:v2", metadata__generation=5, spec__replicas=5),
            [OLD, NEW],
            "bbbb",
            False,
            id="scaled, not yet seen by the controller: same revision",
        ),
        pytest.param(deployment("shop:v2", status__replicas=4), [OLD, NEW], "bbbb", False, id="an old pod is left"),
        pytest.param(deployment("shop:v2", status__updatedReplicas=2), [OLD, NEW], "bbbb", False, id="one pod to go"),
        pytest.param(deployment("shop:v2", status__readyReplicas=2), [OLD, NEW], "bbbb", False, id="one is not ready"),
        pytest.param(
            deployment("shop:v2", spec__replicas=0, status={"observedGeneration": 4}),
            [OLD, NEW],
            "bbbb",
            True,
            id="scaled to nothing: zero counts are left out by the API",
        ),
        pytest.param(deployment("shop:v2", status={}), [OLD, NEW], "bbbb", False, id="no status yet"),
        pytest.param(
            deployment("shop:v2"),
            [NEW, replica_set("cccc", "shop:v2", 3)],
            "bbbb",
            True,
            id="two of the same template: the oldest, as the controller takes it",
        ),
    ],
)
def test_the_current_revision(obj: Obj, sets: list[Obj], revision: str | None, rolled_out: bool) -> None:
    found = state(obj, *sets)
    assert (found.revision, found.rolled_out) == (revision, rolled_out)


def test_everything_that_is_taken_over() -> None:
    obj = deployment(
        "shop:v2",
        spec__paused=True,
        metadata__managedFields=[
            written("2026-01-01T00:00:01Z", "kubectl-client-side-apply", "replicas", "template"),
            written("2026-01-01T00:00:09Z", "kubectl-rollout", "paused"),
        ],
        status__conditions=[{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}],
    )
    hpa = HorizontalPodAutoscaler("h", "9", 1, 5)
    found = state(obj, NEW, OLD, hpa=hpa)
    assert (found.kind, found.namespace, found.name, found.uid) == ("Deployment", "shop", "checkout", UID)
    assert (found.resource_version, found.replicas, found.ready) == ("700", 3, 3)
    assert (found.paused, found.paused_by) == (True, "kubectl-rollout")
    assert found.template_by == found.scaled_by == "kubectl-client-side-apply"
    assert found.progress_deadline_exceeded
    assert found.hpa is hpa
    assert [(r.name, r.owner, r.number, r.replicas, r.ready) for r in found.revisions] == [
        ("aaaa", "checkout-aaaa", 1, 0, 0),
        ("bbbb", "checkout-bbbb", 2, 3, 3),
    ]
    assert found.revisions[0].created == epoch("2026-01-01T00:00:01Z") == 1767225601.0


def test_other_owners_replica_sets_are_left_out() -> None:
    stranger = replica_set("zzzz", "shop:v2", 9)
    stranger["metadata"]["ownerReferences"][0]["uid"] = "another"
    orphan = replica_set("yyyy", "shop:v2", 9, metadata__ownerReferences=None)
    rollout = replica_set("xxxx", "shop:v2", 9)
    rollout["metadata"]["ownerReferences"][0]["kind"] = "Rollout"
    assert project_replica_set(orphan) is None
    assert project_replica_set(rollout) is None
    assert [r.name for r in state(deployment("shop:v2"), NEW, stranger).revisions] == ["bbbb"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (template(), template(), True),
        (template(), template("shop:v2"), False),
        (template(), template(labels={"app": "checkout", "pod-template-hash": "aaaa"}), True),
        (template(), template(labels={"app": "checkout", "tier": "web"}), False),
        (template(), template(annotations={"kubectl.kubernetes.io/restartedAt": "now"}), False),
        (template(), template(creationTimestamp=None), True),
        (template(), template(annotations={}), True),
        (template(), {**template(), "$patch": "replace"}, True),
        (template(), dict(reversed(template().items())), True),
    ],
)
def test_equal_templates_have_equal_digests(one: Obj, other: Obj, same: bool) -> None:
    assert (template_digest(one) == template_digest(other)) is same


def test_the_bare_template_leaves_its_source_alone() -> None:
    source = replica_set("aaaa", "shop:v1", 1)["spec"]["template"]
    before = copy.deepcopy(source)
    assert normalized_template(source) == template("shop:v1")
    assert source == before


def written(time: str, manager: str, *fields: str, image: bool = False) -> Obj:
    containers = {"f:containers": {'k:{"name":"web"}': {"f:image": {}}}} if image else {}
    spec = {f"f:{f}": {"f:spec": containers} if f == "template" else {} for f in fields}
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": {"f:spec": spec}}


T1, T2 = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"


@pytest.mark.parametrize(
    ("entries", "paused", "template_by", "replicas"),
    [
        ([], "", "", ""),
        (None, "", "", ""),
        ([written(T1, "helm", "replicas", "template")], "", "helm", "helm"),
        ([written(T1, "helm", "template"), written(T2, "kubectl-set", "template")], "", "kubectl-set", ""),
        ([written(T2, "kubectl-set", "template"), written(T1, "helm", "template")], "", "kubectl-set", ""),
        ([written(T1, "a", "template", image=True), written(T1, "b", "template")], "", "a", ""),
        ([written(T1, "b", "template"), written(T1, "a", "template", image=True)], "", "a", ""),
        ([{"manager": "x", "subresource": "status", "fieldsV1": {"f:status": {}}}], "", "", ""),
        ([{"manager": "x"}], "", "", ""),
        ([{**written(T2, "kube-controller-manager", "replicas"), "subresource": "scale"}],
         "", "", "horizontal-pod-autoscaler"),
        ([{**written(T2, "kubectl", "replicas"), "subresource": "scale"}], "", "", "kubectl-scale"),
        ([{**written(T2, "kubectl", "replicas"), "operation": "Apply"}], "", "", "kubectl-apply"),
        ([written(T1, MANAGER, "replicas"), {**written(T2, "argocd", "replicas"), "operation": "Apply"}],
         "", "", MANAGER),
        ([written(T1, "kubectl-rollout", "paused")], "kubectl-rollout", "", ""),
    ],
)  # fmt: skip
def test_who_wrote_it(entries: list[Obj] | None, paused: str, template_by: str, replicas: str) -> None:
    found = writers_of(entries)
    assert (found.paused, found.template, found.replicas) == (paused, template_by, replicas)


def test_a_later_write_to_another_field_is_no_release() -> None:
    release = [written(T1, "operator", "template"), written(T2, "kubectl-set", "template", image=True)]
    first = project_deployment(deployment("shop:v2", metadata__managedFields=release))
    assert first.writers.template == "kubectl-set"
    scaled = [written("2026-01-01T00:00:09Z", "operator", "template", "replicas"), release[1]]
    obj = deployment("shop:v2", metadata__managedFields=scaled, metadata__generation=5, spec__replicas=5)
    assert project_deployment(obj, first).writers.template == "kubectl-set"
    assert project_deployment(obj, first).writers.replicas == "operator"
    again = [written("2026-01-01T00:01:00Z", "helm", "template")]
    obj = deployment("shop:v3", metadata__managedFields=again, metadata__generation=6)
    assert project_deployment(obj, first).writers.template == "helm"


def test_an_event_of_the_status_alone_takes_the_digest_over() -> None:
    before = project_deployment(deployment("shop:v1"))
    obj = deployment("shop:v1", status__readyReplicas=1)
    del obj["spec"]["template"]  # would be missed if it were read
    after = project_deployment(obj, before)
    assert (after.template, after.ready) == (before.template, 1)


def test_the_same_name_made_anew_takes_nothing_over() -> None:
    before = project_deployment(deployment("shop:v1"))
    after = project_deployment(deployment("shop:v2", metadata__uid="another"), before)
    assert after.template != before.template


@pytest.mark.parametrize(
    ("value", "found"),
    [
        *[("7", 7), (7, 7), (None, 0), ("", 0), ("x", 0), ([], 0), ("-1", -1), ("9" * 5_000, 0), ("9" * 30, 0)],
        *[(float("inf"), 0), (2**63 - 1, 2**63 - 1), (2**63, 0), (-(2**70), 0)],
    ],
)
def test_a_number_that_may_be_none(value: object, found: int) -> None:
    assert number(value) == found


@pytest.mark.parametrize("value", ["7", "seven", 7.0, True, -1, 2**31, [], {}])
def test_what_is_not_a_count_is_not_zero(value: object) -> None:
    """A target whose number of pods is taken for zero counts as switched off."""
    with pytest.raises(ValueError, match="not a number of pods"):
        count(value)


def test_counts() -> None:
    assert [count(None), count(None, 1), count(0), count(7)] == [0, 1, 0, 7]


def autoscaler(**changes: Any) -> Obj:
    obj: Obj = {
        "metadata": {"namespace": "shop", "name": "h", "resourceVersion": "9"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "minReplicas": 2,
            "maxReplicas": 8,
        },
    }
    return changed(obj, changes)


def minimum(manager: str, time: str) -> Obj:
    return {"manager": manager, "time": time, "fieldsV1": {"f:spec": {"f:minReplicas": {}}}}


@pytest.mark.parametrize(
    ("obj", "hpa"),
    [
        (autoscaler(), HorizontalPodAutoscaler("h", "9", 2, 8)),
        (autoscaler(spec__minReplicas=None), HorizontalPodAutoscaler("h", "9", 1, 8)),
        (autoscaler(spec__minReplicas=0), HorizontalPodAutoscaler("h", "9", 0, 8)),
        (autoscaler(metadata__annotations={ORIGINAL_MIN: "1"}), HorizontalPodAutoscaler("h", "9", 2, 8, 1)),
        *[
            (autoscaler(metadata__annotations={ORIGINAL_MIN: text}), HorizontalPodAutoscaler("h", "9", 2, 8))
            for text in ("one", "", "-1", "1.5", " 1", "1\n", "١", "9" * 5_000, "9" * 11, "2147483648", "0" * 20, "1e3")
        ],
        (
            autoscaler(metadata__annotations={ORIGINAL_MIN: "2147483647"}),
            HorizontalPodAutoscaler("h", "9", 2, 8, 2**31 - 1),
        ),
        (
            autoscaler(metadata__ownerReferences=[{"kind": "ScaledObject"}]),
            HorizontalPodAutoscaler("h", "9", 2, 8, None, "KEDA", scaled_object="h"),
        ),
        (
            autoscaler(metadata__labels={"scaledobject.keda.sh/name": "x"}),
            HorizontalPodAutoscaler("h", "9", 2, 8, None, "KEDA", scaled_object="x"),
        ),
        (
            autoscaler(metadata__managedFields=[minimum("kubectl-edit", T2), minimum("helm", T1)]),
            HorizontalPodAutoscaler("h", "9", 2, 8, min_by="kubectl-edit"),
        ),
        (
            autoscaler(metadata__managedFields=[minimum("argocd-controller", T2), minimum(MANAGER, T1)]),
            HorizontalPodAutoscaler("h", "9", 2, 8, min_by=MANAGER),
        ),
    ],
)
def test_an_autoscaler(obj: Obj, hpa: HorizontalPodAutoscaler) -> None:
    found = project_autoscaler(obj)
    assert found.target == ("Deployment", "shop", "checkout")
    assert found.hpa == hpa


def test_an_annotation_of_no_use_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    bad = autoscaler(metadata__annotations={ORIGINAL_MIN: "9" * 5_000})
    first = project_autoscaler(bad)
    second = project_autoscaler(bad, first)
    message = f"annotation {ORIGINAL_MIN} is no number of pods and is ignored: correct or remove it"
    assert [record.getMessage() for record in caplog.records] == [f"HorizontalPodAutoscaler shop/h: {message}"]
    project_autoscaler(bad, project_autoscaler(autoscaler(), second))
    assert len(caplog.records) == 2


@pytest.mark.parametrize("moment", ["", None, "soon", "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z", 7])
def test_a_moment_that_is_none(moment: Any) -> None:
    assert epoch(moment) == 0.0


def test_an_autoscaler_of_another_kind_has_its_group_in_the_key() -> None:
    ref = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "checkout"}
    found = project_autoscaler(autoscaler(spec__scaleTargetRef=ref))
    assert found.target == ("Rollout.argoproj.io", "shop", "checkout")
