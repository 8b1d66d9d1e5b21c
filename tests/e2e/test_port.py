"""The ports: a foreign name is shown nothing, idle clients hold nobody up, and `auth: kubernetes` asks for a right."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import yaml
from kubernetes import client

from resilience_operator.runtime.http.connections import ConnectionLimits
from tests.support.install import ROOT
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import World

AUTH = ROOT / "manifests" / "components" / "auth" / "rbac-auth.yaml"
PAGES = ("/", "/policy", "/static/policy.js", "/api/policies", "/api/policy", "/events/policies")


def test_a_rebound_name_reads_no_policy(world: World, operator: Operator) -> None:
    world.deployment()
    world.policy("guarded-by-nobody-else")
    eventually(lambda: "guarded-by-nobody-else" in operator.get("/api/policies")[1], "the policy is shown")
    for page in PAGES:
        status, text = operator.get(page, host=f"rebound.evil.example:{operator.dashboard_port}")
        assert status == 421
        assert "guarded" not in text


def test_two_thousand_idle_connections_do_not_reach_the_probes(operator: Operator) -> None:
    with ExitStack() as stack:
        idle = []
        for number in range(2000):
            one = stack.enter_context(socket.socket())
            one.bind((f"127.0.2.{number % 100 + 1}", 0))
            one.connect(("127.0.0.1", operator.port))
            one.send(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            one.setblocking(False)
            idle.append(one)
        assert operator.get("/healthz")[0] == operator.get("/readyz")[0] == operator.get("/metrics")[0] == 200

        def still_open() -> int:
            return sum(not _ended(one) for one in idle)

        eventually(lambda: still_open() <= ConnectionLimits().connections, "most are closed")
        eventually(lambda: still_open() == 0, "half a head is given up")


def _ended(one: socket.socket) -> bool:
    try:
        return one.recv(1) != b"" or True
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.fixture
def rights(world: World) -> Iterator[Callable[[str], str]]:
    """Applies the component's roles; binds one of them to an account of this namespace, whose token is returned."""
    rbac = client.RbacAuthorizationV1Api(world.api)
    documents = list(yaml.safe_load_all(AUTH.read_text()))
    roles = [d for d in documents if d["kind"] == "ClusterRole"]
    bindings = [d for d in documents if d["kind"] == "ClusterRoleBinding"]
    for role in roles:
        rbac.create_cluster_role(role)
    for binding in bindings:
        rbac.create_cluster_role_binding(binding)
    bound = []

    def bind(role: str) -> str:
        name = f"{world.namespace}-{role or 'none'}"
        world.core.create_namespaced_service_account(world.namespace, {"metadata": {"name": name}})
        if role:
            subject = {"kind": "ServiceAccount", "name": name, "namespace": world.namespace}
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
            rbac.create_cluster_role_binding({"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})
            bound.append(name)
        request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
        answer = world.core.create_namespaced_service_account_token(name, world.namespace, request)
        return str(answer.status.token)

    yield bind
    for name in (*bound, *(b["metadata"]["name"] for b in bindings)):
        rbac.delete_cluster_role_binding(name)
    for role in roles:
        rbac.delete_cluster_role(role["metadata"]["name"])


def test_metrics_and_dashboard_are_for_those_who_may(
    world: World, new_operator: Callable[..., Operator], rights: Callable[[str], str]
) -> None:
    stranger, scraper = rights(""), rights("resilience-operator-metrics-reader")
    reader = rights("resilience-operator-dashboard-reader")
    operator = new_operator(environment={"RESILIENCE_AUTH": "kubernetes"}).start()
    world.deployment()
    world.policy("secret-policy")
    everything = ("/metrics", *PAGES)

    def statuses(token: str) -> dict[str, int]:
        return {page: operator.get(page, token=token)[0] for page in everything}

    assert operator.get("/healthz")[0] == operator.get("/readyz")[0] == 200, "the kubelet has no token"
    eventually(lambda: operator.get("/metrics", token=scraper)[0] == 200, "Prometheus may")
    assert "resilience_policies" in operator.get("/metrics", token=scraper)[1]
    assert set(statuses("").values()) == {401}
    assert set(statuses("eyJhbGciOiJub25lIn0.e30.").values()) == {401}
    assert set(statuses(stranger).values()) == {403}
    assert statuses(scraper) == {page: 200 if page == "/metrics" else 403 for page in everything}
    eventually(lambda: "secret-policy" in operator.get("/api/policies", token=reader)[1], "a reader sees it")
    assert operator.get("/", token=reader)[0] == operator.get("/static/policy.js", token=reader)[0] == 200
    assert operator.get("/metrics", token=reader)[0] == 403
    for token in ("", stranger, scraper):
        assert "secret-policy" not in operator.get("/api/policies", token=token)[1]
    assert stranger not in operator.log.read_text()
