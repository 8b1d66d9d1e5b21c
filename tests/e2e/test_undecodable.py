"""Objects that cannot be decoded, on a real API server: each costs only itself, and says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.config import new_client_from_config

from resilience_operator.kube.cache.hpa import ORIGINAL_MIN
from resilience_operator.kube.client.decoding import Unreadable, decode_object
from tests.cluster import Cluster
from tests.e2e.test_bad_input import document_of, ready, rule
from tests.support.fresh import fresh_cluster
from tests.support.install import documents, install, operator_kubeconfig
from tests.support.operator import Operator
from tests.support.proxy import faults
from tests.support.proxy.front import api_proxy, kubeconfig_through
from tests.support.waiting import eventually
from tests.support.world import GROUP, PLURAL, VERSION, World

LEVELS = 2_000
"""More than orjson (1,024), Python's json and its call stack read; the API server keeps as many in managedFields."""

BUSY = {"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"scaleUp": {"pods": 1}}]}

DEEP = "MARK"
"""Where a document is to be nested."""


def send(world: World, method: str, path: str, document: Any, deep: str = "") -> tuple[int, str]:
    """Send a document, with `deep` in place of DEEP: no JSON library writes what is nested that deep.

    Returns the status, and what was said where that is a refusal.
    """
    text = json.dumps(document).replace(json.dumps(DEEP), deep)
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    status, data = request(world, method, path, text.encode(), {"Content-Type": kind})
    return status, "" if status < 300 else data.decode()


def request(world: World, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    world.api.update_params_for_auth(headers, [], ["BearerToken"], path, method, None)
    pool = world.api.rest_client.pool_manager
    answer = pool.request(method, world.api.configuration.host + path, body=body, headers=headers)
    return answer.status, answer.data


def shown(world: World, name: str) -> str:
    """The reason of a policy's Ready. Python's `json` cannot read the whole of one."""
    status, data = request(world, "GET", f"{policies(world)}/{name}", b"", {})
    found = decode_object(data)
    assert status == 200
    known = found.partial if isinstance(found, Unreadable) else found
    conditions = (known or {}).get("status", {}).get("conditions", ())
    return next((c["reason"] for c in conditions if c["type"] == "Ready"), "")


def nested(levels: int = LEVELS, left: str = '{"f:a":', right: str = "}") -> str:
    return left * levels + "{}" + right * levels


def managed(fields: str = DEEP) -> list[dict[str, Any]]:
    return [
        {
            "manager": "poison",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
    ]


def deployment(world: World, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "managedFields": managed()},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": world.template(name, "1.0"),
        },
    }


def poison_deployment(world: World, name: str = "poison") -> None:
    path = f"/apis/apps/v1/namespaces/{world.namespace}/deployments"
    assert send(world, "POST", path, deployment(world, name), nested()) == (201, "")


def guarded(world: World, name: str) -> None:
    """A busy Deployment and a policy that scales it up at once."""
    world.deployment(name, replicas=1)
    world.load.workload(world.namespace, name, cpu_utilisation=0.9)
    world.policy(
        name,
        targetRef={"name": name},
        replicas={"min": 1, "max": 2},
        rules=[BUSY],
    )


def acted_on(world: World, name: str) -> None:
    world.until(lambda: ready(world, name)[0] == "True", f"{name} is evaluated", name)
    world.until(lambda: world.replicas(name) > 1, f"{name} is scaled", name)


def test_a_deployment_with_deep_managed_fields_blinds_nobody(
    world: World, new_operator: Callable[..., Operator]
) -> None:
    """Neither while it is watched, nor at the start; and it can be guarded itself."""
    operator = new_operator().start()
    poison_deployment(world)
    guarded(world, "victim")
    acted_on(world, "victim")
    operator.stop()
    operator.start()
    guarded(world, "later")
    acted_on(world, "later")
    world.policy("poison", targetRef={"name": "poison"}, rules=[rule("any")])
    world.until(lambda: ready(world, "poison") == ("True", "Accepted"), "what is usable of it is used", "poison")
    assert operator.process is not None
    assert operator.process.poll() is None


def test_a_target_that_the_operator_cannot_read_is_told_and_left_alone(
    cluster: Cluster, world: World, new_operator: Callable[..., Operator], operator_identity: Path, tmp_path: Path
) -> None:
    """No API server stores a Deployment of the wrong types. What stands in front of one may answer with it."""
    world.deployment("poison", replicas=7)
    world.load.workload(world.namespace, "poison", cpu_utilisation=0.9)
    world.policy("poison", targetRef={"name": "poison"}, replicas={"min": 1, "max": 9}, rules=[BUSY])
    with api_proxy(cluster, tmp_path) as proxy:
        proxy.add(
            faults.rewrite(lambda body: body.replace(b'"replicas":7', b'"replicas":"seven"')),
            path="/deployments$",
            where=lambda asked: not asked.watch,
        )
        operator = new_operator(kubeconfig=kubeconfig_through(proxy, operator_identity, tmp_path)).start()
        guarded(world, "victim")
        acted_on(world, "victim")
        world.until(lambda: ready(world, "poison") == ("False", "TargetUnreadable"), "it is reported", "poison")
        assert "Deployment poison cannot be read" in world.condition("Ready", "poison")["message"]
        assert operator.get("/readyz")[0] == 200
        assert world.replicas("poison") == 7
        # The next event shows it as it is.
        world.apps.patch_namespaced_deployment("poison", world.namespace, {"metadata": {"labels": {"seen": "again"}}})
        acted_on(world, "poison")


def policy_of(world: World, name: str, **metadata: Any) -> dict[str, Any]:
    document = document_of([rule("any")])
    document["metadata"] = {"name": name, "namespace": world.namespace, **metadata}
    document["spec"]["targetRef"]["name"] = name
    return document


def policies(world: World) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{world.namespace}/{PLURAL}"


@pytest.mark.parametrize("levels", [1_000, LEVELS])
def test_a_policy_with_deep_managed_fields_ends_nothing(
    world: World, new_operator: Callable[..., Operator], levels: int
) -> None:
    operator = new_operator().start()
    world.deployment("poison")
    fields = managed()
    fields[0]["apiVersion"] = f"{GROUP}/{VERSION}"
    document = policy_of(world, "poison", managedFields=fields)
    assert send(world, "POST", policies(world), document, nested(levels)) == (201, "")
    guarded(world, "victim")
    acted_on(world, "victim")
    eventually(lambda: shown(world, "poison") == "Accepted", "it is evaluated")
    operator.stop()
    operator.start()
    guarded(world, "later")
    acted_on(world, "later")


def test_arguments_of_plugins_are_bounded(world: World, operator: Operator) -> None:
    """By the schema, in words; nothing of it is stored."""
    document = policy_of(world, "poison")
    document["spec"]["rules"][0]["then"] = [{"plugin": {"name": "page", "with": {"a": DEEP}}}]
    for levels in (2, 100, LEVELS):
        status, said = send(world, "POST", policies(world), document, nested(levels, "[", "]"))
        assert status == 422, said
        assert "spec.rules[0].then[0].plugin.with" in said
    guarded(world, "victim")
    acted_on(world, "victim")


def test_a_status_that_is_nested_deep_is_its_own_policy_s_trouble(
    world: World, new_operator: Callable[..., Operator]
) -> None:
    """It takes the right to write statuses, which no role for people has."""
    operator = new_operator().start()
    world.deployment("poison")
    assert send(world, "POST", policies(world), policy_of(world, "poison"))[0] == 201
    world.until(lambda: ready(world, "poison") == ("True", "Accepted"), "it is evaluated", "poison")
    deep = {"status": {"memory": {"a": DEEP}}}
    assert send(world, "PATCH", f"{policies(world)}/poison/status", deep, nested()) == (200, "")
    operator.stop()
    operator.start()
    guarded(world, "victim")
    acted_on(world, "victim")


def test_an_annotation_of_five_thousand_digits_hides_no_hpa(world: World, operator: Operator) -> None:
    """Else two would write the same replicas: the operator and the HPA's controller."""
    world.deployment(replicas=3)
    world.autoscaling.create_namespaced_horizontal_pod_autoscaler(
        world.namespace,
        {
            "metadata": {"name": "checkout", "annotations": {ORIGINAL_MIN: "9" * 5_000}},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
                "minReplicas": 3,
                "maxReplicas": 6,
            },
        },
    )
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.9)
    world.policy(replicas={"min": 3, "max": 6}, rules=[BUSY])
    found = world.autoscaling.read_namespaced_horizontal_pod_autoscaler

    def raised() -> bool:
        return bool(found("checkout", world.namespace).spec.min_replicas > 3)

    world.until(raised, "the HPA's minimum is moved, not spec.replicas")
    assert found("checkout", world.namespace).metadata.annotations[ORIGINAL_MIN] == "3"
    assert "is no number of pods and is ignored" in operator.log.read_text()


@pytest.mark.long
def test_policies_from_before_the_bound_are_shown(tmp_path: Path) -> None:
    """Stored under a schema that left the arguments open: read by a watch, and again by the list of a restart."""
    with fresh_cluster(tmp_path) as cluster:
        install(cluster)
        open_arguments(cluster)
        world = World(cluster, "shop").create()
        identity = operator_kubeconfig(cluster, tmp_path / "kubeconfig")
        operator = Operator(identity, cluster.prometheus_url, tmp_path / "operator.log").start()
        try:
            refused = {"invalid": (20, "InvalidSpec"), "unreadable": (LEVELS, "PolicyUnreadable")}
            for name, (levels, _) in refused.items():
                world.deployment(name)
                document = policy_of(world, name)
                document["spec"]["rules"][0]["then"] = [{"plugin": {"name": "page", "with": {"a": DEEP}}}]
                deep = nested(levels, "[", "]")
                eventually(
                    lambda d=document, n=deep: send(world, "POST", policies(world), d, n)[0] == 201, "it is stored"
                )
            for name, (_, reason) in refused.items():
                eventually(lambda n=name, r=reason: shown(world, n) == r, f"{name} is {reason}")
            assert operator.metric("resilience_unreadable_objects_total", resource=PLURAL) >= 1
            guarded(world, "victim")
            acted_on(world, "victim")
            operator.stop()
            install(cluster)
            operator.start()
            guarded(world, "later")
            acted_on(world, "later")
            for name, (_, reason) in refused.items():
                assert shown(world, name) == reason
            document = policy_of(world, "unreadable")
            assert send(world, "PATCH", f"{policies(world)}/unreadable", {"spec": document["spec"]}) == (200, "")
            eventually(lambda: shown(world, "unreadable") == "Accepted", "what is written again is evaluated")
        finally:
            operator.stop()


def open_arguments(cluster: Cluster) -> None:
    """The schema as it was before: whatever stands in `with` is taken."""
    api = client.ApiextensionsV1Api(new_client_from_config(str(cluster.kubeconfig)))
    (definition,) = (d for d in documents() if d["kind"] == "CustomResourceDefinition")
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    action = spec["properties"]["rules"]["items"]["properties"]["then"]["items"]
    action["properties"]["plugin"]["properties"]["with"] = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }
    name = definition["metadata"]["name"]
    definition["metadata"]["resourceVersion"] = api.read_custom_resource_definition(name).metadata.resource_version
    api.replace_custom_resource_definition(name, definition)
