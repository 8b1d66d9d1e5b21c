"""A namespace with workloads and policies in it, and a view of what became of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.config import new_client_from_config

from tests.cluster import Cluster
from tests.cluster.loadmodel.client import LoadModel
from tests.support.waiting import eventually

GROUP, VERSION, PLURAL = "resilience-operator.io", "v1alpha1", "resiliencepolicies"

Obj = dict[str, Any]


class World:
    """One namespace. Everything in it is made, changed and read through the real API server."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.api = new_client_from_config(str(cluster.kubeconfig))
        self.core, self.apps = client.CoreV1Api(self.api), client.AppsV1Api(self.api)
        self.custom = client.CustomObjectsApi(self.api)
        self.autoscaling = client.AutoscalingV2Api(self.api)
        self.load = LoadModel(f"http://127.0.0.1:{cluster.settings.ports.load_model}")

    def create(self) -> World:
        """Make the namespace."""
        self.core.create_namespace({"metadata": {"name": self.namespace, "labels": {"resilience-test": "true"}}})
        eventually(
            lambda: self.core.read_namespaced_service_account("default", self.namespace), "the default account is there"
        )
        return self

    def remove(self) -> None:
        """Delete the namespace; its content goes with it."""
        self.core.delete_namespace(self.namespace)

    def image(self, tag: str, name: str = "checkout") -> str:
        """An image name of this namespace's own, so that its behaviour is."""
        return f"{self.namespace}/{name}:{tag}"

    def deployment(self, name: str = "checkout", *, replicas: int = 3, tag: str = "1.0", **spec: Any) -> Obj:
        """Create a Deployment and wait until it is available."""
        body = {
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": self.template(name, tag),
                **spec,
            },
        }
        self.apps.create_namespaced_deployment(self.namespace, body, field_manager="test")
        self.rolled_out(name)
        return self.get(name)

    def template(self, name: str, tag: str) -> Obj:
        """A pod template."""
        container = {
            "name": "app",
            "image": self.image(tag, name),
            "resources": {"requests": {"cpu": "100m", "memory": "32Mi"}},
        }
        return {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
        }

    def workload(self, kind: str, name: str = "checkout", *, replicas: int = 3, tag: str = "1.0") -> None:
        """Create a StatefulSet or DaemonSet and wait until all its pods run and are ready."""
        spec: Obj = {"selector": {"matchLabels": {"app": name}}, "template": self.template(name, tag)}
        if kind == "StatefulSet":
            spec |= {"replicas": replicas, "serviceName": name}
        self._of(kind, "create")(self.namespace, {"metadata": {"name": name}, "spec": spec}, field_manager="test")
        self.runs(kind, tag, name)

    def release_of(self, kind: str, tag: str, name: str = "checkout") -> None:
        """Apply another image to a StatefulSet or DaemonSet."""
        container = self.template(name, tag)["spec"]["containers"][0]
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": container["image"]}]}}}}
        self._of(kind, "patch")(name, self.namespace, patch, field_manager="kubectl-client-side-apply")

    def read_workload(self, kind: str, name: str = "checkout") -> Obj:
        """A StatefulSet or DaemonSet as JSON."""
        found: Obj = self.api.sanitize_for_serialization(self._of(kind, "read")(name, self.namespace))
        return found

    def runs(self, kind: str, tag: str, name: str = "checkout") -> None:
        """Wait until every pod runs that image and is ready."""

        def done() -> bool:
            found = self.read_workload(kind, name)
            status = found.get("status", {})
            wanted = found["spec"]["replicas"] if kind == "StatefulSet" else status.get("desiredNumberScheduled", 0)
            ready = status.get("readyReplicas", 0) if kind == "StatefulSet" else status.get("numberReady", 0)
            return bool(wanted and ready == wanted and self.tags(name) == [tag] * wanted)

        eventually(done, f"every pod of {name} runs {tag}")

    def _of(self, kind: str, verb: str) -> Callable[..., Any]:
        plain = {"StatefulSet": "stateful_set", "DaemonSet": "daemon_set"}[kind]
        found: Callable[..., Any] = getattr(self.apps, f"{verb}_namespaced_{plain}")
        return found

    def release(self, tag: str, name: str = "checkout", *, manager: str = "kubectl-client-side-apply") -> None:
        """Apply another image, as a pipeline would."""
        container = self.template(name, tag)["spec"]["containers"][0]
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": container["image"]}]}}}}
        self.apps.patch_namespaced_deployment(name, self.namespace, patch, field_manager=manager)

    def get(self, name: str = "checkout") -> Obj:
        """The Deployment as JSON."""
        found: Obj = self.api.sanitize_for_serialization(self.apps.read_namespaced_deployment(name, self.namespace))
        return found

    def replicas(self, name: str = "checkout") -> int:
        """spec.replicas now."""
        return int(self.get(name)["spec"]["replicas"])

    def paused(self, name: str = "checkout") -> bool:
        """spec.paused now."""
        return bool(self.get(name)["spec"].get("paused"))

    def running(self, name: str = "checkout") -> str:
        """The tag of the image in the Deployment's template."""
        return str(self.get(name)["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2])

    def tags(self, name: str = "checkout") -> list[str]:
        """The image tags of the pods that are not being deleted."""
        pods = self.core.list_namespaced_pod(self.namespace, label_selector=f"app={name}").items
        return sorted(
            p.spec.containers[0].image.rpartition(":")[2] for p in pods if p.metadata.deletion_timestamp is None
        )

    def rolled_out(self, name: str = "checkout") -> None:
        """Wait until every pod runs the newest template and is ready."""

        def done() -> bool:
            found = self.get(name)
            wanted, status = found["spec"]["replicas"], found.get("status", {})
            return bool(
                status.get("observedGeneration", 0) >= found["metadata"]["generation"]
                and status.get("updatedReplicas", 0) == wanted == status.get("replicas", 0)
                and status.get("readyReplicas", 0) == wanted
            )

        eventually(done, f"{name} is rolled out")

    def policy(self, name: str = "checkout", *, text: str = "", **changes: Any) -> Obj:
        """Create a policy from YAML, with fields of its spec changed."""
        document = yaml.safe_load(text) if text else sample()
        document["metadata"] = {"name": name, "namespace": self.namespace}
        document["spec"] = merged(document["spec"], changes)
        created: Obj = self.custom.create_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, document, field_validation="Strict"
        )
        return created

    def change_policy(self, name: str = "checkout", **spec: Any) -> None:
        """Merge fields into a policy's spec."""
        self.custom.patch_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, name, {"spec": spec}, _content_type="application/merge-patch+json"
        )

    def annotate_policy(self, annotations: Mapping[str, str], name: str = "checkout") -> None:
        """Set annotations of a policy."""
        body = {"metadata": {"annotations": dict(annotations)}}
        self.custom.patch_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, name, body, _content_type="application/merge-patch+json"
        )

    def delete_policy(self, name: str = "checkout") -> None:
        """Delete a policy, and wait until it is gone."""
        self.custom.delete_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)
        eventually(lambda: not self._exists(name), f"policy {name} is gone")

    def _exists(self, name: str) -> bool:
        try:
            self.read_policy(name)
        except ApiException as error:
            if error.status == 404:
                return False
            raise
        return True

    def read_policy(self, name: str = "checkout") -> Obj:
        """A policy as JSON."""
        found: Obj = self.custom.get_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)
        return found

    def status(self, name: str = "checkout") -> Obj:
        """A policy's status; empty before the first evaluation."""
        return dict(self.read_policy(name).get("status") or {})

    def condition(self, type_: str, name: str = "checkout") -> Obj:
        """One condition; empty when it is not there."""
        return next((c for c in self.status(name).get("conditions", ()) if c["type"] == type_), {})

    def verdict(self, signal: str, name: str = "checkout") -> str:
        """A signal's verdict; empty when it is not there."""
        return next((s["verdict"] for s in self.status(name).get("signals", ()) if s["name"] == signal), "")

    def phase(self, name: str = "checkout") -> str:
        """The target's phase."""
        return str(self.status(name).get("target", {}).get("phase", ""))

    def actions(self, name: str = "checkout") -> list[str]:
        """The actions in the history, oldest first."""
        return [d["action"] for d in reversed(self.status(name).get("history", []))]

    def events(self, kind: str, name: str = "checkout") -> list[Obj]:
        """Events on an object, oldest first."""
        # As JSON: the client's model refuses the events of older reporters, which have no eventTime.
        found = self.custom.list_namespaced_custom_object("events.k8s.io", "v1", self.namespace, "events")
        return sorted(
            (e for e in found["items"] if e["regarding"]["kind"] == kind and e["regarding"]["name"] == name),
            key=lambda e: e.get("eventTime") or "",
        )

    def told(self, reason: str, kind: str = "ResiliencePolicy", name: str = "checkout") -> list[Obj]:
        """Events of one reason on an object."""
        return [e for e in self.events(kind, name) if e["reason"] == reason]

    def until(self, look: Callable[[], Any], what: str, name: str = "checkout", **options: Any) -> Any:
        """Wait for a state; a failure shows the policy's status."""

        def last() -> str:
            return yaml.safe_dump(self.status(name)) if self._exists(name) else f"policy {name} is not there"

        return eventually(look, what, last=last, **options)

    def until_phase(self, phase: str, name: str = "checkout", **options: Any) -> None:
        """Wait for a phase."""
        self.until(lambda: self.phase(name) == phase, f"phase {phase}", name, **options)

    def until_verdict(self, signal: str, verdict: str, name: str = "checkout") -> None:
        """Wait for a signal's verdict."""
        self.until(lambda: self.verdict(signal, name) == verdict, f"{signal} is {verdict}", name)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` merged into its mappings; a None removes."""
    found = copy.deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(found.get(key), dict):
            found[key] = merged(found[key], value)
        else:
            found[key] = copy.deepcopy(value)
    return found


SAMPLE = """
apiVersion: resilience-operator.io/v1alpha1
kind: ResiliencePolicy
metadata: {name: checkout}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  interval: 5s
  replicas: {min: 3, max: 20}
  release: {bake: 5s}
  scaleDown: {after: 10s, pods: 2}
  signals:
    - {name: cpu, preset: cpu, window: 10s}
    - {name: latency-p99, preset: latency-p99, window: 10s, minSamples: 20}
    - {name: error-rate, preset: error-rate, window: 10s, minSamples: 20}
  rules:
    - name: cpu-saturation
      when: {signal: cpu, above: 70%, for: 10s}
      then: [{scaleUp: {pods: 2}}]
    - name: slow-requests
      when: {signal: latency-p99, above: 1s}
      then: [{alert: {}}, {scaleUp: {percent: 50}}]
    - name: failing-release
      when: {signal: error-rate, above: 1%}
      then: [{pauseRollout: {}}, {rollback: {after: 5s}}]
"""
"""The founding policy with shorter times, as tests need them; the rules are the same."""


def sample() -> Obj:
    """The sample as a document."""
    found: Obj = yaml.safe_load(SAMPLE)
    return found
