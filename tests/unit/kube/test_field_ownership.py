"""Pure: who owns the fields of a restored template, and the manifest that `kubectl apply` keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resilience_operator.decision.model.target import MANAGER
from resilience_operator.kube.writes.field_ownership import data_returned, hand_back
from resilience_operator.kube.writes.last_applied import LAST_APPLIED, MOST_ANNOTATIONS, with_data, with_template

IMAGE = {"f:image": {}}


def entry(manager: str, spec: dict[str, Any], operation: str = "Update", time: str = "", **more: Any) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": operation,
        "time": time,
        "fieldsV1": {"f:spec": spec, **more.pop("fields", {})},
        **more,
    }


def template(**fields: Any) -> dict[str, Any]:
    return {"f:template": {"f:spec": fields}}


def test_nothing_of_ours_is_nothing_to_do() -> None:
    assert hand_back(None) is None
    assert hand_back([entry("helm", template(a={}), "Apply")]) is None
    assert hand_back([entry(MANAGER, {"f:replicas": {}}, subresource="scale")]) is None
    assert hand_back([entry(MANAGER, {"f:paused": {}})]) is None


def test_the_one_who_applies_gets_them_even_if_another_wrote_later() -> None:
    fields = [
        entry("helm", template(a={}), "Apply", "2026-01-01T00:00:00Z"),
        entry("kubectl-set", template(b={}), "Update", "2026-01-02T00:00:00Z"),
        entry(MANAGER, template(c={"x": {}}), "Update", "2026-01-03T00:00:00Z"),
    ]
    after = hand_back(fields)
    assert after is not None
    assert [e["manager"] for e in after] == ["helm", "kubectl-set"]
    assert after[0]["fieldsV1"] == {"f:spec": template(a={}, c={"x": {}})}
    assert hand_back(after) is None


def test_without_one_who_applies_the_last_writer_gets_them() -> None:
    fields = [
        entry("old", template(a={}), time="2026-01-01T00:00:00Z"),
        entry("new", template(a={}), time="2026-01-02T00:00:00Z"),
        entry(MANAGER, template(c={})),
    ]
    after = hand_back(fields)
    assert after is not None
    assert after[1]["fieldsV1"] == {"f:spec": template(a={}, c={})}


def test_what_else_is_ours_stays_ours() -> None:
    annotation = {"f:metadata": {"f:annotations": {"f:resilience-operator.io/original-partition": {}}}}
    fields = [
        entry("helm", template(a={}), "Apply"),
        entry(MANAGER, {"f:paused": {}}, time="2026-01-01T00:00:00Z"),
        entry(MANAGER, {**template(c={}), "f:updateStrategy": {}}, fields=annotation),
    ]
    after = hand_back(fields)
    assert after is not None
    assert after[1] == fields[1]
    assert after[2]["fieldsV1"] == {"f:spec": {"f:updateStrategy": {}}, **annotation}


def test_if_nobody_else_wrote_the_template_nobody_owns_it() -> None:
    assert hand_back([entry(MANAGER, template(c={}))]) == []


def test_the_input_is_left_alone() -> None:
    fields = [entry("helm", template(a={"f:x": {}}), "Apply"), entry(MANAGER, template(a={"f:y": {}}))]
    before = json.dumps(fields)
    hand_back(fields)
    assert json.dumps(fields) == before


@pytest.mark.parametrize("kept", ["", "[]", "{", '{"spec": 1}', "[" * 100_000])
def test_what_is_no_manifest_is_left_alone(kept: str) -> None:
    assert with_template({LAST_APPLIED: kept}, {}) is None


def test_the_manifest_follows_the_template() -> None:
    kept = json.dumps({"kind": "Deployment", "spec": {"replicas": 3, "template": {"bad": 1}}})
    found = with_template({LAST_APPLIED: kept, "other": "x"}, {"good": 1})
    assert found is not None
    assert json.loads(found) == {"kind": "Deployment", "spec": {"replicas": 3, "template": {"good": 1}}}
    assert with_template({}, {"good": 1}) is None


def test_annotations_never_grow_beyond_what_the_api_server_takes() -> None:
    """Else the rollback itself would be refused."""
    kept = json.dumps({"spec": {"template": {}}})
    others = {"other": "x" * (MOST_ANNOTATIONS - 1_000)}
    assert with_template({LAST_APPLIED: kept, **others}, {"good": "1"}) is not None
    assert with_template({LAST_APPLIED: kept, **others}, {"good": "1" * 2_000}) is None


@pytest.mark.parametrize("field", ["f:replicas", "f:minReplicas"])
@pytest.mark.parametrize("subresource", ["", "scale"])
def test_a_size_is_left_to_nobody_if_somebody_applies_the_object_server_side(field: str, subresource: str) -> None:
    more = {"subresource": subresource} if subresource else {}
    fields = [entry("helm", template(a={}), "Apply"), entry(MANAGER, {field: {}}, **more), entry("x", {field: {}})]
    assert hand_back(fields) == [fields[0], fields[2]]
    assert hand_back(fields[1:]) is None, "an update cannot conflict"


def test_the_rest_of_an_entry_with_a_size_stays() -> None:
    annotation = {"f:metadata": {"f:annotations": {"f:resilience-operator.io/original-min-replicas": {}}}}
    fields = [entry("helm", {"f:maxReplicas": {}}, "Apply"), entry(MANAGER, {"f:minReplicas": {}}, fields=annotation)]
    after = hand_back(fields)
    assert after is not None
    assert after[1]["fieldsV1"] == annotation
    assert hand_back(after) is None


def test_an_apply_of_the_operators_own_name_is_no_reason() -> None:
    assert hand_back([entry(MANAGER, {"f:replicas": {}}, "Apply")]) is None


def data(manager: str, operation: str = "Update", **fields: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields}


def test_restored_data_goes_back_to_the_manager_that_applied_it() -> None:
    ours = data(MANAGER, **{"f:data": {"f:a": {}}, "f:metadata": {"f:annotations": {}}})
    before = [data("helm", "Apply", **{"f:data": {"f:a": {}}})]
    left = data(MANAGER, **{"f:metadata": {"f:annotations": {}}})
    assert data_returned([ours], before) == [left, before[0]], "the API server removed helm, which owned nothing else"
    labelled = data("helm", "Apply", **{"f:metadata": {"f:labels": {}}})
    assert data_returned([ours, labelled], before) == [
        left,
        data("helm", "Apply", **{"f:metadata": {"f:labels": {}}, "f:data": {"f:a": {}}}),
    ]


def test_restored_data_that_nobody_applied_is_owned_by_nobody() -> None:
    ours = data(MANAGER, **{"f:data": {"f:a": {}}})
    assert data_returned([ours], [data("kubectl-edit", **{"f:data": {}})]) == []
    assert data_returned([data("helm", "Apply", **{"f:data": {}})], None) is None
    assert data_returned(None, None) is None


def test_the_kept_manifest_of_a_config_map_has_the_restored_data() -> None:
    manifest = {"kind": "ConfigMap", "data": {"bad": "1"}, "stringData": {"bad": "2"}, "metadata": {"name": "x"}}
    kept = with_data({LAST_APPLIED: json.dumps(manifest)}, {"data": {"good": "1"}, "immutable": True})
    assert json.loads(kept or "") == {"kind": "ConfigMap", "data": {"good": "1"}, "metadata": {"name": "x"}}
    assert with_data({}, {"data": {}}) is None
    assert with_data({LAST_APPLIED: "{"}, {"data": {}}) is None
