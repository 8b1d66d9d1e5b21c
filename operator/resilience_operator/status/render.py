"""Renders the whole status of a policy after an evaluation, as the API accepts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import orjson

from resilience_operator.api.conditions import merge_condition
from resilience_operator.api.quantities import format_value
from resilience_operator.api.status import (
    Condition,
    PolicyStatus,
    QuarantinedRevision,
    SignalStatus,
    TargetStatus,
)
from resilience_operator.api.text import cut
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.commands import Outcome
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.memory_codec import dump_memory
from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.model.target import TargetState
from resilience_operator.status.conditions import conditions_of
from resilience_operator.status.history import MOST_RULES, DecisionHistory, to_datetime

Json = dict[str, Any]

MOST_BYTES = 256 << 10
"""Maximum bytes of a status as JSON. The limits on rules and names keep the memory below 192 KiB."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A status, and the part of it whose change requires a write.

    body: the status as JSON. significant: the same without displayed values that change constantly.
    status: what `body` was made of, without the memory.
    """

    body: Json
    significant: Json = field(repr=False)
    status: PolicyStatus = field(repr=False)


def render(
    decision: Decision,
    target: TargetState,
    memory: Memory,
    history: DecisionHistory,
    before: Sequence[Condition],
    *,
    failures: Sequence[Outcome] = (),
    problem: tuple[str, str] | None = None,
) -> Rendered:
    """Return the status after `decision`. memory: after its commands. before: the previous conditions.

    target: the real one, without the dry-run overlay.
    problem: reason and message if the policy names something that does not exist.
    """
    release, scaling = memory.release, memory.scaling
    assert release is not None
    generation = decision.policy.generation
    # The status shows the real target, in a dry run too.
    dry_run = decision.policy.mode is Mode.DRY_RUN
    seen = TargetStatus(
        replicas=target.replicas if dry_run or scaling.last_replicas is None else scaling.last_replicas,
        baseline=scaling.baseline,
        revision=target.revision if dry_run else release.revision,
        last_good_revision=release.good,
        phase=release.phase,
    )
    signals = tuple(
        SignalStatus(
            name=s.name,
            value=None if s.value is None else format_value(s.value, s.unit),
            verdict=s.verdict,
            since=to_datetime(s.since),
            reason=s.reason if s.verdict == "Unknown" else None,
        )
        for s in decision.signals
    )
    status = PolicyStatus(
        observed_generation=generation,
        conditions=reduce(merge_condition, conditions_of(decision, memory, failures, problem), tuple(before)),
        target=seen,
        signals=signals,
        last_decision=history.entries[0] if history.entries else None,
        history=history.entries,
        quarantined=tuple(
            QuarantinedRevision(
                revision=q.revision,
                at=to_datetime(q.at),
                rule=cut(", ".join(q.rules), MOST_RULES),
                rollbacks=q.rollbacks,
            )
            for q in reversed(memory.quarantined)
        ),
    )
    return _rendered(status, dump_memory(memory))


def render_skipped(status: PolicyStatus, refusal: Condition, memory: Memory | None = None) -> Rendered:
    """Return the status of a policy that is not evaluated: the previous one, with the condition that says why.

    memory: the new memory, if it changed. A change of the refusal's message requires a write.
    """
    changed: Json = {
        "observed_generation": refusal.observed_generation,
        "conditions": merge_condition(status.conditions, refusal),
        "memory": None,
    }
    kept = status.memory if memory is None else dump_memory(memory)
    rendered = _rendered(status.model_copy(update=changed), kept)
    return replace(rendered, significant={**rendered.significant, "refusal": refusal.message})


def significant_of(body: Json) -> Json:
    """Return the part of a status, as JSON, whose change requires a write."""
    return {
        **body,
        "signals": [{k: v for k, v in s.items() if k != "value"} for s in body.get("signals", [])],
        "conditions": [{k: v for k, v in c.items() if k != "message"} for c in body.get("conditions", [])],
    }


def _rendered(status: PolicyStatus, memory: Json | None) -> Rendered:
    """Return the status with `memory`, which is JSON already: a model would validate and copy each value of it."""
    body = status.model_dump(mode="json", exclude_none=True)
    if memory is not None:
        body["memory"] = memory
    if len(orjson.dumps(body)) > MOST_BYTES:
        body = _shortened(body)
    return Rendered(body, significant_of(body), status)


def _shortened(body: Json) -> Json:
    """Return the status within its limit: drops the oldest decisions first, then signals. The memory is kept."""
    history = list(body.get("history", ()))
    short: Json = {**body, "history": history}
    left_out = 0
    while history and len(orjson.dumps(short)) > MOST_BYTES - len(_LEFT_OUT):
        history.pop()
        left_out += 1
    if history and left_out:
        message = history[-1].get("message", "") + _LEFT_OUT.format(left_out)
        history[-1] = {**history[-1], "message": message}
    for name, empty in (("signals", []), ("lastDecision", None), ("quarantined", [])):
        if len(orjson.dumps(short)) > MOST_BYTES and short.pop(name, None) is not None and empty is not None:
            short[name] = empty
    return short


_LEFT_OUT = " ({} older decisions are omitted: the status is full)"
