"""A namespace on a real node, with the guarded service in it and a Service that spreads its requests."""

from __future__ import annotations

import urllib.request
from typing import Any

from tests.real.images import SHOP
from tests.support.waiting import eventually
from tests.support.world import Obj, World

PORT = 8080


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
        self.policy(replicas={"min": 2, "max": 8}, release={"bake": "10s"}, scaleDown={"enabled": False})
        self.until_phase("Stable")
        self.until_verdict("error-rate", "Ok")
