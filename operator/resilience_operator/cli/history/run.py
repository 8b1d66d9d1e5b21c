"""Reads policies and prints their last decisions."""

from __future__ import annotations

import time

from resilience_operator.api.base import to_epoch
from resilience_operator.api.status import DecisionStatus
from resilience_operator.cli.common.cluster import Access, with_kube
from resilience_operator.cli.common.console import Cell, CommandError, columns, show
from resilience_operator.cli.common.policies import Selected, read_selected
from resilience_operator.cli.common.selection import Selection
from resilience_operator.cli.history import view
from resilience_operator.cli.output.formats import ObjectOutput
from resilience_operator.cli.status.view import read_status
from resilience_operator.explain.overview import entry


def show_history(chosen: Selection, access: Access, output: ObjectOutput) -> None:
    """Run `history`. Raises CommandError if a policy is missing, or there are no decisions."""
    found = with_kube(access, lambda kube: read_selected(kube, chosen))
    decisions = _decisions(found)
    if not output.for_people:
        places = [(namespace, name) for namespace, name, _ in decisions]
        documents = [{"namespace": n, "policy": p, **entry(d)} for n, p, d in decisions]
        if found.bodies:
            output.print(documents, dict.fromkeys(name for _, name in places))
    elif decisions:
        several = chosen.only is None
        extra = [[Cell(f"{n}/{p}" if chosen.namespace is None else p)] if several else [] for n, p, _ in decisions]
        rows = view.rows([decision for *_, decision in decisions], time.time())
        headers = (*(("POLICY",) if several else ()), *view.HEADERS)
        show(columns(headers, [[*before, *row] for before, row in zip(extra, rows, strict=True)]))
    found.raise_problems()
    if not found.bodies:
        raise CommandError(f"no policies found {chosen}")
    if not decisions:
        who = f"policy {chosen.only[1]} has" if chosen.only else "these policies have"
        raise CommandError(f"{who} no decisions yet")


def _decisions(found: Selected) -> list[tuple[str, str, DecisionStatus]]:
    """Namespace, policy and decision, newest first. Adds a problem for a status that cannot be read."""
    decisions = []
    for body in found.bodies:
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        status = read_status(body)
        if status is None:
            found.problems.append(f"the status of policy {name} was written by another version of the operator")
        else:
            decisions += [(namespace, name, decision) for decision in status.history]
    # The order of one policy is kept: decisions of one evaluation have the same time.
    return sorted(decisions, key=lambda one: -to_epoch(one[2].at))
