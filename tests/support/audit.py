"""What the operator's account asked of the API server, read from the server's own audit log.

Two questions: was anything refused that it wanted (a right is missing), and is there a right that nobody used (one
too many)? The first is asked after any run of e2e tests, the second only after all of them passed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.cluster import Cluster
from tests.support.install import NAMESPACE, SERVICE_ACCOUNT, documents

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"


class Right(NamedTuple):
    """One verb on one resource; a subresource is written as `deployments/scale`."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


ON_PURPOSE: Mapping[Right, str] = {
    Right("", "serviceaccounts", "list"): "test_kube_client asks for what is not granted",
    Right("apps", "replicasets/scale", "get"): "test_kinds scales a kind before the right is granted",
}
"""Refusals that a test provokes, and which."""

UNUSED: Mapping[Right, str] = {
    Right("resilience-operator.io", "resiliencepolicies/status", "get"): "the status comes with the policy",
}
"""Rights whose use is not asked for, and why. `get` beside `list` is none of them: it shows nothing more."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request. allowed: what the authorizer said; a later refusal by admission is no matter of rights."""

    right: Right
    uri: str
    allowed: bool


def requests(log: Path, offset: int = 0, account: str = ACCOUNT) -> Iterator[Request]:
    """The account's requests for resources, from a place in the log on."""
    with log.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if account.encode() in line and line.endswith(b"\n"):
                event = json.loads(line)
                if event["user"]["username"] == account and event.get("objectRef"):
                    yield _request(event)


def _request(event: Mapping[str, Any]) -> Request:
    reference = event["objectRef"]
    resource = reference["resource"]
    if reference.get("subresource"):
        resource += f"/{reference['subresource']}"
    decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
    return Request(
        Right(reference.get("apiGroup", ""), resource, event["verb"]), event["requestURI"], decision == "allow"
    )


def granted() -> set[Right]:
    """Every right in the base's roles of the operator's account."""
    bound = {
        document["roleRef"]["name"]
        for document in documents()
        if document["kind"] in ("ClusterRoleBinding", "RoleBinding")
        and any(subject["name"] == SERVICE_ACCOUNT for subject in document["subjects"])
    }
    return {
        Right(group, resource, verb)
        for document in documents()
        if document["kind"] in ("ClusterRole", "Role") and document["metadata"]["name"] in bound
        for rule in document["rules"] or ()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def violations(asked: Iterable[Request], rights: set[Right], *, complete: bool) -> list[str]:
    """What is wrong, a sentence each. complete: every right must have been used."""
    used: set[Right] = set()
    refused: dict[Right, str] = {}
    for request in asked:
        if request.allowed:
            used.add(request.right)
        elif request.right not in ON_PURPOSE:
            refused.setdefault(request.right, request.uri)
    found = [f"{right} was refused ({uri})" for right, uri in sorted(refused.items())]
    if complete:
        listed = {right[:2] for right in used if right.verb == "list"}
        spare = {right for right in rights - used - UNUSED.keys() if not (right.verb == "get" and right[:2] in listed)}
        found += [f"{right} is granted and nobody used it" for right in sorted(spare)]
    return found


def check(cluster: Cluster, *, offset: int = 0, complete: bool) -> list[str]:
    """The violations since a place in the cluster's audit log."""
    return violations(requests(cluster.audit_log, offset), granted(), complete=complete)
