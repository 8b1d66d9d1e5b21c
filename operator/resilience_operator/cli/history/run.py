"""Reads a policy and prints its last decisions."""

from __future__ import annotations

import time

from resilience_operator.cli.common.cluster import Access, read_policy, with_kube
from resilience_operator.cli.common.console import CommandError, Output, columns, emit, show
from resilience_operator.cli.history import view
from resilience_operator.cli.status.view import read_status
from resilience_operator.explain.overview import entry


def show_history(name: str, namespace: str, access: Access, output: Output) -> None:
    """`history`."""
    body = with_kube(access, lambda kube: read_policy(kube, namespace, name))
    status = read_status(body)
    if status is None:
        raise CommandError(f"the status of policy {name} was written by another version of the operator")
    if output is not Output.TABLE:
        emit([entry(decision) for decision in status.history], output)
    elif not status.history:
        raise CommandError(f"policy {name} has no decisions yet")
    else:
        show(columns(view.HEADERS, view.rows(status.history, time.time())))
