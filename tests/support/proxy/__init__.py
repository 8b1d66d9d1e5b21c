"""A reverse proxy that does harm when told to: in front of the API server (TLS) and of Prometheus (plain HTTP).

It lies between the operator and the real servers, so what a test breaks is the wire and nothing else: no mock answers
in place of a server, unless the fault is a false answer. A `Proxy` is driven from the test's own thread; `faults`
holds what can go wrong, and a `Rule` says to which requests, and how often.

    proxy.add(faults.answer(503), "PATCH", "/status$", times=3)
    proxy.add(faults.reset(after=True), "PATCH", "/deployments/checkout/scale$", times=1)  # done, but nobody hears
"""

from tests.support.proxy import faults
from tests.support.proxy.front import api_proxy, kubeconfig_through, prometheus_proxy
from tests.support.proxy.rules import Asked, Rule
from tests.support.proxy.server import Passed, Proxy

__all__ = [
    "Asked",
    "Passed",
    "Proxy",
    "Rule",
    "api_proxy",
    "faults",
    "kubeconfig_through",
    "prometheus_proxy",
]
