"""Reads a policy and its target, and prints the explanation."""

from __future__ import annotations

import time
from typing import Any

from resilience_operator.cli.common.cluster import Access, read_policy, read_target, with_kube
from resilience_operator.cli.common.console import Output, emit, print_note, show
from resilience_operator.cli.common.last_seen import stopped_operator
from resilience_operator.cli.explain.view import explain, to_document
from resilience_operator.explain.explain import document as explained
from resilience_operator.kube.client.client import KubeClient


def show_explanation(name: str, namespace: str, access: Access, output: Output) -> None:
    """`explain`."""

    async def read(kube: KubeClient) -> tuple[dict[str, Any], Any, str]:
        stopped = await stopped_operator(kube, time.time())
        body = await read_policy(kube, namespace, name)
        reference = (body.get("spec") or {}).get("targetRef") or {}
        if reference.get("kind") != "Deployment":
            return body, f"targets of kind {reference.get('kind')} are not supported by this command", stopped
        return body, await read_target(kube, namespace, str(reference.get("name"))), stopped

    body, target, stopped = with_kube(access, read)
    explanation = explain(body, target, time.time())
    if output is Output.TABLE:
        show(to_document(explanation))
    else:
        emit(explained(explanation), output)
    if stopped:
        print_note(stopped)
