"""A namespace on a real node, with the guarded service in it and a Service that spreads its requests."""

from __future__ import annotations

import urllib.request
from typing import Any

from tests.real.images import SHOP
from tests.support.waiting import eventually
from tests.support.world import Obj, World

PORT = 8080

POLICY = """
apiVersion: resilience-operator.io/v1alpha1
kind: ResiliencePolicy
metadata: {name: checkout}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  interval: 5s
  replicas: {min: 2, max: 8}
  signals:
    - {name: cpu, preset: cpu, window: 10s}
    - {name: latency-p99, preset: latency-p99, window: 10s, minSamples: 50}
    - {name: error-rate, preset: error-rate, window: 10s, minSamples: 20}
  scaleDown: {enabled: false}
  release: {bake: 10s}
  rules:
    - name: cpu-saturation
      when: {signal: cpu, above: 70%, for: 10s}
      then: [{scaleUp: {pods: 2, cooldown: 30s}}]
    - name: slow-requests
      when: {signal: latency-p99, above: 1s}
      then: [{alert: {}}, {scaleUp: {percent: 50, cooldown: 30s}}]
    - name: failing-release
      when: {signal: error-rate, above: 1%}
      then: [{pauseRollout: {}}, {rollback: {after: 5s}}]
"""


class ShopWorld(World):
    """As `World`, but what its pods do is what they really do."""

    def image(self, tag: str, name: str = "checkout") -> str:
        """The service's image of that version."""
        return f"{SHOP}:{tag}"

    def template(self, name: str, tag: str) -> Obj:
        """A pod that may use a fifth of a core, and asks for half of that."""
        template = super().template(name, tag)
        (container,) = template["spec"]["containers"]
        container |= {
            "imagePullPolicy": "Never",
            "ports": [{"containerPort": PORT}],
            "resources": {
                "requests": {"cpu": "100m", "memory": "32Mi"},
                "limits": {"cpu": "200m", "memory": "256Mi"},
            },
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 5},
        }
        template["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT)}
        template["spec"] |= {"terminationGracePeriodSeconds": 10, "dnsPolicy": "Default"}
        return template

    def shop(self, name: str = "checkout", *, replicas: int = 2, **spec: Any) -> str:
        """Deploy the good version behind a Service, and return the address of that."""
        self.deployment(name, replicas=replicas, **spec)
        body = {
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]},
        }
        url = f"http://{self.core.create_namespaced_service(self.namespace, body).spec.cluster_ip}/"
        eventually(lambda: urllib.request.urlopen(url, timeout=5).status == 200, "the Service leads to the pods")
        return url

    def guard(self) -> None:
        """Apply the policy, and wait until its target is known good and measured. Needs a load."""
        self.policy(text=POLICY)
        self.until_phase("Stable")
        self.until_verdict("error-rate", "Ok")
