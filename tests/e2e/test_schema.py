"""The schema on the real API server: what it takes, what it refuses, in which words, and how it is shown."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from kubernetes import client
from kubernetes.config import new_client_from_config

from resilience_operator.api.v1alpha1 import GROUP, PLURAL, VERSION, parse_policy
from tests.unit.api.test_cases import ACCEPTED, REFUSED, Changes, Refused, policy

NAMESPACE = "default"


class Cluster(Protocol):
    kubeconfig: Path


class Server:
    """The API server, as far as policies are concerned."""

    def __init__(self, kubeconfig: Path) -> None:
        self.api = new_client_from_config(str(kubeconfig))
        self.policies = client.CustomObjectsApi(self.api)
        self.definitions = client.ApiextensionsV1Api(self.api)

    def create(self, document: dict[str, Any], *, dry: bool = True) -> dict[str, Any]:
        """What comes back of `document`. Raises ApiException with the server's words."""
        options = {"dry_run": "All"} if dry else {}
        created: dict[str, Any] = self.policies.create_namespaced_custom_object(
            GROUP, VERSION, NAMESPACE, PLURAL, document, field_validation="Strict", _request_timeout=10, **options
        )
        return created

    def refusal(self, document: dict[str, Any]) -> str:
        """What the server says against `document`; empty when it takes it."""
        try:
            self.create(document)
        except client.ApiException as error:
            assert error.status in (400, 422), error
            return str(json.loads(error.body)["message"])
        return ""

    def table(self, name: str) -> dict[str, Any]:
        """One policy as `kubectl get -o wide` is told to show it, by column."""
        shown: Any = self.policies.get_namespaced_custom_object(
            GROUP,
            VERSION,
            NAMESPACE,
            PLURAL,
            name,
            _headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
            _request_timeout=10,
        )
        columns = [column["name"] for column in shown["columnDefinitions"]]
        return dict(zip(columns, shown["rows"][0]["cells"], strict=True))


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Server:
    return Server(cluster.kubeconfig)


@pytest.fixture
def stored(server: Server) -> Iterator[str]:
    """The name of a policy that is really there."""
    name = "schema-shown"
    document = policy({})
    document["metadata"]["name"] = name
    server.create(document, dry=False)
    yield name
    server.policies.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, name)


def test_established(server: Server) -> None:
    definition = server.definitions.read_custom_resource_definition(f"{PLURAL}.{GROUP}")
    conditions = {condition.type: condition for condition in definition.status.conditions}
    assert conditions["Established"].status == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(server: Server, changes: Changes) -> None:
    document = policy(changes)
    assert server.refusal(document) == ""


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_comes_back_means_the_same(server: Server, changes: Changes) -> None:
    """The server fills defaults in; Python has the same ones."""
    document = policy(changes)
    assert parse_policy(server.create(document)).spec == parse_policy(document).spec


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refused(server: Server, case: Refused) -> None:
    message = server.refusal(policy(case.changes))
    assert (case.server or case.told) in message


def test_the_largest_policy_is_affordable(server: Server) -> None:
    """Checking it stays within what the server lets one request cost, and what is one too many is refused."""
    signals = [{"name": f"signal-{number:02d}", "query": "up" * 500} for number in range(64)]
    rule = {
        "when": {"all": [{"signal": "signal-63", "above": 0.5, "for": "1m"}] * 2},
        "then": [{"alert": {}}, {"scaleUp": {"pods": 1}}],
    }
    rules = [{"name": f"rule-{number}", **rule} for number in range(129)]
    assert server.refusal(policy({"signals": signals, "rules": rules[:128]})) == ""
    assert "must have at most 128 items" in server.refusal(policy({"signals": signals, "rules": rules}))


def test_columns(server: Server, stored: str) -> None:
    status = {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Accepted",
                "message": "",
                "lastTransitionTime": "2026-01-31T10:15:00Z",
            }
        ],
        "target": {"replicas": 5, "phase": "Stable"},
        "lastDecision": {
            "at": "2026-01-31T10:15:00.250Z",
            "action": "scaleUp",
            "reason": "RuleBreached",
            "message": "cpu is 85%",
        },
    }
    server.policies.patch_namespaced_custom_object_status(GROUP, VERSION, NAMESPACE, PLURAL, stored, {"status": status})
    shown = server.table(stored)
    assert list(shown) == [
        "Name", "Mode", "Target", "Replicas", "Phase", "Last action", "Ready", "Age", "Reason", "Last message",
    ]  # fmt: skip
    assert [shown[column] for column in ("Name", "Mode", "Target", "Replicas", "Phase", "Last action", "Ready")] == [
        stored, "Enforce", "checkout", 5, "Stable", "scaleUp", "True",
    ]  # fmt: skip
    assert (shown["Reason"], shown["Last message"]) == ("Accepted", "cpu is 85%")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_explain_reads_well(cluster: Cluster, tmp_path: Path) -> None:
    def explain(field: str) -> str:
        """What kubectl says. The server publishes a new CRD's description some seconds after establishing it."""
        command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--cache-dir", str(tmp_path), "explain", field]
        deadline = time.monotonic() + 30
        while True:
            shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            if shown.returncode == 0:
                return " ".join(shown.stdout.split())
            assert time.monotonic() < deadline, shown.stderr
            time.sleep(0.5)

    assert "{name: cpu-saturation, when: {signal: cpu, above: 70%, for: 2m}" in explain("rsp.spec.rules")
    assert "a ratio like 70% or 0.7, or a duration like 800ms or 1s" in explain("rsp.spec.rules.when.above")
    assert "Time from the breach to the rollback, like 30s (default)." in explain("rsp.spec.rules.then.rollback")
    assert "Restore the last good revision" in explain("rsp.spec.rules.then")
