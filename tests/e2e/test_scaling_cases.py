"""Cases of scaling in which the API or a controller takes part: other kinds, sidecars, totals and webhooks."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme
from kubernetes import client

from tests.support.install import NAMESPACE, SERVICE_ACCOUNT
from tests.support.operator import Operator
from tests.support.waiting import eventually, throughout
from tests.support.world import World

Obj = dict[str, Any]

BUSY = {
    "name": "busy",
    "when": {"signal": "cpu", "above": "70%"},
    "then": [{"scaleUp": {"pods": 2, "cooldown": "10m"}}],
}
KINDS = {
    "Rollout": ("argoproj.io", "v1alpha1", "rollouts"),
    "CloneSet": ("apps.kruise.io", "v1alpha1", "clonesets"),
}
"""Minimal definitions: the operator reads nothing but their `/scale`."""


def define(world: World, kind: str) -> None:
    """Define the kind with a scale subresource, and grant the operator the right to it in this namespace."""
    group, version, plural = KINDS[kind]
    body = {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    "subresources": {
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        }
                    },
                }
            ],
        },
    }
    definitions = client.ApiextensionsV1Api(world.api)
    if not any(
        d.metadata.name == body["metadata"]["name"] for d in definitions.list_custom_resource_definition().items
    ):
        definitions.create_custom_resource_definition(body)
    eventually(lambda: world.custom.list_namespaced_custom_object(*KINDS[kind][:2], world.namespace, plural), "served")
    rbac = client.RbacAuthorizationV1Api(world.api)
    rules = [{"apiGroups": [group], "resources": [f"{plural}/scale"], "verbs": ["get", "patch"]}]
    rbac.create_namespaced_role(world.namespace, {"metadata": {"name": "scale"}, "rules": rules})
    rbac.create_namespaced_role_binding(
        world.namespace,
        {
            "metadata": {"name": "scale"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "scale"},
            "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}],
        },
    )


def create(world: World, kind: str, replicas: int = 3) -> None:
    """Create an object of that kind with ready pods, as its controller would."""
    group, version, plural = KINDS[kind]
    body = {
        "apiVersion": f"{group}/{version}",
        "kind": kind,
        "metadata": {"name": "checkout"},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "selector": "app=checkout"},
    }
    made = world.custom.create_namespaced_custom_object(group, version, world.namespace, plural, body)
    owner = {
        "apiVersion": f"{group}/{version}", "kind": kind, "name": "checkout", "uid": made["metadata"]["uid"],
        "controller": True,
    }  # fmt: skip
    template = world.template("checkout", "1.0")
    if kind == "Rollout":
        template["metadata"]["labels"]["rollouts-pod-template-hash"] = "7d9f8"
        world.apps.create_namespaced_replica_set(
            world.namespace,
            {
                "metadata": {"name": "checkout-7d9f8", "ownerReferences": [owner]},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": template["metadata"]["labels"]},
                    "template": template,
                },
            },
        )
    else:
        for letter in "abcdefgh"[:replicas]:
            pod = {"metadata": {"name": f"checkout-{letter}", "ownerReferences": [owner], **template["metadata"]}}
            world.core.create_namespaced_pod(world.namespace, {**pod, "spec": template["spec"]})
    world.until(lambda: world.tags() == ["1.0"] * replicas, "the pods run")


def replicas_of(world: World, kind: str) -> int:
    group, version, plural = KINDS[kind]
    found = world.custom.get_namespaced_custom_object(group, version, world.namespace, plural, "checkout")
    return int(found["spec"]["replicas"])


def target_of(kind: str) -> Obj:
    group, version, _ = KINDS[kind]
    return {"apiVersion": f"{group}/{version}", "kind": kind, "name": "checkout"}


@pytest.mark.parametrize("kind", list(KINDS))
def test_pods_of_any_kind_are_found_by_the_selector(world: World, operator: Operator, kind: str) -> None:
    define(world, kind)
    create(world, kind)
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    world.policy(targetRef=target_of(kind), rules=[BUSY])
    world.until(lambda: replicas_of(world, kind) == 5, "two pods more, for CPU that is measured")
    world.until(lambda: world.actions() == ["scaleUp"], "it is in the history")
    assert world.verdict("cpu") in ("Breach", "Pending")


def test_the_autoscaler_of_any_kind_is_used_and_restored(world: World, operator: Operator) -> None:
    define(world, "Rollout")
    create(world, "Rollout")
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
    world.autoscaling.create_namespaced_horizontal_pod_autoscaler(
        world.namespace,
        {
            "metadata": {"name": "checkout"},
            "spec": {
                "scaleTargetRef": target_of("Rollout"),
                "minReplicas": 3,
                "maxReplicas": 10,
                "metrics": [cpu],
            },
        },
    )
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    world.policy(targetRef=target_of("Rollout"), rules=[BUSY])

    def minimum() -> int:
        found = world.autoscaling.read_namespaced_horizontal_pod_autoscaler("checkout", world.namespace)
        return int(found.spec.min_replicas)

    world.until(lambda: minimum() == 5, "its minimum is raised")
    world.until(lambda: world.status()["lastDecision"]["message"].endswith("3 → 5 pods"), "it is in the history")
    world.delete_policy()
    eventually(lambda: minimum() == 3, "the minimum is restored with the end of the policy")


def test_a_pod_that_does_not_serve_is_no_capacity_of_any_kind(world: World, operator: Operator) -> None:
    define(world, "CloneSet")
    template = world.template("checkout", "1.0")
    template["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "5000"  # no node has that much
    create(world, "CloneSet")
    pending = {"metadata": {"name": "checkout-z", **template["metadata"]}, "spec": template["spec"]}
    world.core.create_namespaced_pod(world.namespace, pending)
    group, version, plural = KINDS["CloneSet"]
    world.custom.patch_namespaced_custom_object(
        group, version, world.namespace, plural, "checkout", {"spec": {"replicas": 4}, "status": {"replicas": 4}},
        _content_type="application/merge-patch+json",
    )  # fmt: skip
    world.policy(targetRef=target_of("CloneSet"), rules=[BUSY], replicas={"min": 4, "max": 20})
    found = world.until(
        lambda: world.condition("Scaling") if world.condition("Scaling").get("status") == "False" else None,
        "the pod without a node is reported",
    )
    assert found["reason"] == "PodsUnschedulable"
    assert "Insufficient cpu" in found["message"]


def test_a_sidecar_does_not_speak_for_the_application(world: World, operator: Operator) -> None:
    template = world.template("checkout", "1.0")
    (app,) = template["spec"]["containers"]
    sidecar = {"name": "proxy", "image": world.image("1.0", "proxy"), "resources": app.pop("resources")}
    template["spec"]["containers"].append(sidecar)
    world.deployment(template=template)
    world.load.workload(world.namespace, "checkout", cpu_total_cores=0.9, cpu_by_container={"app": 0.9, "proxy": 0.1})
    world.policy(rules=[BUSY])

    def message() -> str:
        return str(world.condition("MetricsAvailable").get("message", ""))

    world.until(lambda: "container app, which has no CPU request" in message(), "the container is named")
    assert world.verdict("cpu") == "Unknown"
    assert world.replicas() == 3
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "resources": sidecar["resources"]}]}}}}
    world.apps.patch_namespaced_deployment("checkout", world.namespace, patch, field_manager="test")
    world.change_policy(signals=[{"name": "cpu", "preset": "cpu", "container": "app"}])
    world.until(lambda: world.verdict("cpu") in ("Breach", "Pending", "Ok"), "one container is measured")


def test_the_length_of_a_queue_is_divided_by_the_pods(world: World, operator: Operator) -> None:
    world.deployment()
    queue = {
        "name": "queue",
        "query": 'count(kube_deployment_spec_replicas{namespace="{{namespace}}"}) * 30',
        "of": "total",
    }
    rule = {
        "name": "backlog",
        "when": {"signal": "queue", "above": 5},
        "then": [{"scaleUp": {"toTarget": True, "cooldown": "1s"}}],
    }
    world.policy(signals=[queue], rules=[rule], replicas={"min": 3, "max": 20})
    world.until(lambda: world.replicas() == 6, "30 in the queue, 5 per pod")
    world.rolled_out()
    before = operator.metric("resilience_evaluations_total", result="evaluated")
    throughout(
        lambda: world.replicas() == 6,
        "a step does not compound",
        until=lambda: operator.metric("resilience_evaluations_total", result="evaluated") >= before + 6,
    )


class Stamp(BaseHTTPRequestHandler):
    """A mutating webhook that changes the pod template of every Deployment that is written."""

    stamps = 0

    def do_POST(self) -> None:
        """Answer an AdmissionReview."""
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Stamp.stamps += 1
        value = {"stamp": str(Stamp.stamps)}
        patch = [{"op": "add", "path": "/spec/template/metadata/annotations", "value": value}]
        response = {
            "uid": review["request"]["uid"],
            "allowed": True,
            "patchType": "JSONPatch",
            "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
        }
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def stamping(world: World) -> Iterator[None]:
    """The webhook, for the Deployments of the test's namespace."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stamp)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hooks = client.AdmissionregistrationV1Api(world.api)
    hooks.create_mutating_webhook_configuration(
        {
            "metadata": {"name": world.namespace},
            "webhooks": [
                {
                    "name": "stamp.example.com",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "clientConfig": {
                        "url": f"https://127.0.0.1:{server.server_port}/",
                        "caBundle": base64.b64encode(authority.cert_pem.bytes()).decode(),
                    },
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
                    "rules": [
                        {
                            "apiGroups": ["apps"],
                            "apiVersions": ["v1"],
                            "operations": ["UPDATE"],
                            "resources": ["deployments"],
                        }
                    ],
                }
            ],
        }
    )
    try:
        yield
    finally:
        hooks.delete_mutating_webhook_configuration(world.namespace)
        server.shutdown()
        server.server_close()


def test_a_scale_is_no_rollout_whatever_a_webhook_does(world: World, stamping: None, operator: Operator) -> None:
    world.deployment()

    def stamped() -> str:
        body = {"metadata": {"annotations": {"touched": "yes"}}}
        world.apps.patch_namespaced_deployment("checkout", world.namespace, body, field_manager="test")
        annotations = world.get()["spec"]["template"]["metadata"].get("annotations") or {}
        return str(annotations.get("stamp", ""))

    world.until(stamped, "a write of the Deployment is changed by the webhook")
    world.rolled_out()
    before = world.get()["spec"]["template"]
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    world.policy(rules=[BUSY])
    world.until(lambda: world.replicas() == 5, "two pods more")
    world.rolled_out()
    assert world.get()["spec"]["template"] == before
    world.until(lambda: world.actions() == ["scaleUp"], "it is in the history")
