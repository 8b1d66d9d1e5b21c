"""The audit of rights itself: it sees what an account asks for, what was refused, and what nobody used.

The whole suite's audit runs when the suite is over: `conftest.pytest_sessionfinish`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from kubernetes import client
from kubernetes.config import new_client_from_config

from tests.cluster import Cluster, write_kubeconfig
from tests.support import audit
from tests.support.audit import Right
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import World

LOOKED_AT = {
    Right("resilience-operator.io", "resiliencepolicies", "list"),
    Right("resilience-operator.io", "resiliencepolicies", "watch"),
    Right("resilience-operator.io", "resiliencepolicies/status", "patch"),
    Right("apps", "deployments", "list"),
    Right("apps", "replicasets", "watch"),
}


def test_what_the_operator_asks_is_seen_and_granted(cluster: Cluster, world: World, operator: Operator) -> None:
    world.deployment()
    world.policy()
    world.until_phase("Stable")
    here = f"/namespaces/{world.namespace}/"
    asked = [r for r in audit.requests(cluster.audit_log) if here in r.uri]
    assert {r.right for r in asked} >= LOOKED_AT
    assert {r.right for r in asked} <= audit.granted()
    assert audit.violations(asked, audit.granted(), complete=False) == []


@pytest.fixture
def stranger(cluster: Cluster, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.ApiClient]:
    """A client with an account that may do nothing."""
    world.core.create_namespaced_service_account(world.namespace, {"metadata": {"name": "stranger"}})
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = world.core.create_namespaced_service_account_token("stranger", world.namespace, request).status.token
    path = tmp_path_factory.mktemp(f"stranger-{uuid.uuid4().hex[:8]}") / "kubeconfig"
    write_kubeconfig(path, cluster.server, cluster.ca_file, token=token)
    with new_client_from_config(str(path)) as api:
        yield api


def test_a_refusal_is_seen(cluster: Cluster, world: World, stranger: client.ApiClient) -> None:
    account = f"system:serviceaccount:{world.namespace}:stranger"
    with pytest.raises(client.ApiException) as refused:
        client.AppsV1Api(stranger).list_namespaced_deployment(world.namespace)
    assert refused.value.status == 403
    asked = eventually(lambda: list(audit.requests(cluster.audit_log, account=account)), "it is in the log")
    (told,) = audit.violations(asked, set(), complete=False)
    assert told.startswith("list deployments.apps was refused (/apis/apps/v1/namespaces/")


def test_a_right_that_nobody_used_is_seen() -> None:
    used = [audit.Request(Right("apps", "deployments", verb), "/", True) for verb in ("list", "watch")]
    rights = {Right("apps", "deployments", verb) for verb in ("get", "list", "watch", "delete")}
    assert audit.violations(used, rights, complete=False) == []
    assert audit.violations(used, rights, complete=True) == ["delete deployments.apps is granted and nobody used it"]


def test_rights_are_read_from_what_is_shipped() -> None:
    rights = audit.granted()
    assert Right("apps", "deployments", "patch") in rights
    assert Right("coordination.k8s.io", "leases", "create") in rights
    assert not [right for right in rights if right.resource == "secrets" or "*" in right]
