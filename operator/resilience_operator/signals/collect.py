"""From a batch of signal requests to one observation each: groups, asks, joins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from resilience_operator.decision.observation import Observation
from resilience_operator.resilience.deadline import Clock, Deadline
from resilience_operator.resilience.retry import Retry
from resilience_operator.signals import digest, join, reasons
from resilience_operator.signals.asking import Desk, Guard, Question, Reply
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.presets import (
    Families,
    Family,
    Join,
    Preset,
    PresetError,
    Quantile,
    Quotient,
    Ratio,
    load_families,
    queries,
)
from resilience_operator.signals.promql import TemplateError, fill_custom, matchers, pods
from resilience_operator.signals.registry import Sources
from resilience_operator.signals.scope import Scope

_BATCH = 2000
"""Observations made before others get their turn on the event loop."""

_OWNERS_PER_QUERY = 400
_OWNERS_MEMORY_SECONDS = 120.0
_BY_POD = Join(by="owner", name="owner")
"""How the series of a policy's own query are joined: by the owner of the pod in label `pod`."""

_DEFAULT_SKEW_SECONDS = 60.0


class _Plan(NamedTuple):
    """How one request will be answered: from which questions."""

    target: join.Target
    preset: Preset | None
    questions: Mapping[str, Question]


class Collector:
    """Collects for a whole process.

    What it remembers is which namespaces each family serves, and answers that are still fresh.
    """

    def __init__(
        self,
        sources: Sources,
        families: Families | None = None,
        *,
        retry: Retry | None = None,
        guard: Guard | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._sources = sources
        self._families = families or load_families()
        self._clock = clock
        self._desk = Desk(sources, retry=retry, guard=guard, clock=clock)
        self._scopes: dict[tuple[str, str], Scope[str]] = {}
        self._owners: dict[tuple[str, str], Scope[tuple[str, str]]] = {}

    def expect(self, requests: Sequence[SignalRequest]) -> None:
        """Tell which requests will come, so that the first grouped query already covers them all. No I/O."""
        now = self._clock()
        wanted: dict[tuple[str, str], tuple[Family, set[str]]] = {}
        for request in requests:
            found = self._families.find(request.family, request.signal.preset)
            if found is not None:
                family = found[0]
                wanted.setdefault((request.source, family.name), (family, set()))[1].add(request.namespace)
        for (source, _), (family, namespaces) in wanted.items():
            self._scope(source, family).add(namespaces, now)

    async def collect(
        self, requests: Sequence[SignalRequest], *, now: float, deadline: Deadline, max_age: float = 0.0
    ) -> list[Observation]:
        """One observation for each request, in their order. Never raises for what a source does.

        now: seconds since the epoch. deadline: when there must be an observation, if need be an unknown one.
        max_age: an answer asked for at most this many seconds ago is good enough.
        """
        started = self._clock()
        self._cover(requests, started)
        plans = [self._plan(request, now) for request in requests]
        questions = {q: None for plan in plans if isinstance(plan, _Plan) for q in plan.questions.values()}
        replies = await self._desk.ask(questions, deadline=deadline, max_age=max_age)
        faults = {q: fault for q, reply in replies.items() if (fault := self._fault(q, reply, now, started))}
        found: list[Observation] = []
        for number, plan in enumerate(plans):
            if number % _BATCH == _BATCH - 1:
                await asyncio.sleep(0)
            if isinstance(plan, Observation):
                found.append(plan)
            else:
                found.append(_observe(plan, replies, faults, now))
        return found

    def _cover(self, requests: Sequence[SignalRequest], started: float) -> None:
        """Widen the scopes before any text is made, so that one batch asks one text."""
        self.expect(requests)
        wanted: dict[tuple[str, str], tuple[Family, set[tuple[str, str]]]] = {}
        for request in requests:
            if len(request.owners) < 2:
                continue
            found = self._families.find(request.family, request.signal.preset)
            if found is not None and isinstance(found[1], Quantile) and found[1].buckets:
                family = found[0]
                owners = wanted.setdefault((request.source, family.name), (family, set()))[1]
                owners.update((request.namespace, owner) for owner in request.owners)
        for (source, _), (family, owners) in wanted.items():
            self._owner_scope(source, family).add(owners, started)

    def _plan(self, request: SignalRequest, now: float) -> _Plan | Observation:
        if self._sources.find(request.source) is None:
            known = ", ".join(self._sources.names) or "none"
            return Observation.unknown(
                now,
                reasons.SOURCE_NOT_FOUND,
                f"metric source {request.source!r} is not configured; there are: {known}",
            )
        try:
            return self._plan_custom(request) if request.signal.query else self._plan_preset(request, now)
        except (TemplateError, PresetError) as error:
            return Observation.unknown(now, reasons.BAD_QUERY, f"{request.signal.name}: {error}")

    def _plan_custom(self, request: SignalRequest) -> _Plan:
        texts = {"value": request.signal.query}
        if request.signal.samples_query:
            texts["samples"] = request.signal.samples_query
        return _Plan(
            join.target(request, _BY_POD),
            None,
            {
                part: Question(request.source, fill_custom(text, request), digest.everything)
                for part, text in texts.items()
            },
        )

    def _plan_preset(self, request: SignalRequest, now: float) -> _Plan | Observation:
        found = self._families.find(request.family, request.signal.preset)
        if found is None:
            return Observation.unknown(now, reasons.PRESET_NOT_FOUND, self._no_preset(request))
        family, preset = found
        target = join.target(request, family.join)
        if not target.parts:
            return target.unknown(now, reasons.NO_DATA, f"{target} has no pods")
        window = request.signal.window_seconds
        scope = self._scope(request.source, family)
        chunk = scope.chunk_of(request.namespace)
        labels = digest.labels_of(family.join)
        questions: dict[str, Question] = {}
        for part, query in queries(preset).items():
            if part != "buckets":
                questions[part] = Question(request.source, scope.text(query, window, chunk), digest.by_target(*labels))
            elif len(target.parts) > 1:
                owners = self._owner_scope(request.source, family)
                for owner in request.owners:
                    number = owners.chunk_of((request.namespace, owner))
                    questions[f"buckets/{number}"] = Question(
                        request.source, owners.text(query, window, number), digest.buckets_by_target(*labels)
                    )
        return _Plan(target, preset, questions)

    def _no_preset(self, request: SignalRequest) -> str:
        if request.family not in self._families.names:
            return f"there is no preset family {request.family!r}; there are: {', '.join(self._families.names)}"
        known = ", ".join(self._families.signals(request.family))
        return f"family {request.family!r} has no preset {request.signal.preset!r}; there are: {known}"

    def _fault(self, question: Question, reply: Reply, now: float, started: float) -> tuple[str, str] | None:
        """Why a reply serves nobody: a reason and a sentence."""
        if reply.failure is not None:
            return reply.failure.reason, reply.failure.message
        if reply.at is None:
            return None
        # An instant query is evaluated at the server's own time: any other than ours means that a clock is
        # off.
        off = reply.at - (now + reply.asked - started)
        allowed = getattr(self._sources.find(question.source), "max_clock_skew", _DEFAULT_SKEW_SECONDS)
        if abs(off) <= allowed:
            return None
        side = "behind" if off < 0 else "ahead of"
        return (
            reasons.STALE,
            f"metric source {question.source!r} answers {abs(off):.0f} s {side} the operator's clock; "
            "set the clocks right",
        )

    def _scope(self, source: str, family: Family) -> Scope[str]:
        scope = self._scopes.get((source, family.name))
        if scope is None:
            label, fallback, suffix = family.scope.label, family.scope.fallback, family.scope.suffix

            def narrow(namespaces: Sequence[str]) -> tuple[str, str]:
                other = matchers(fallback, namespaces, suffix) if fallback else ""
                return matchers(label, namespaces, suffix), other

            scope = Scope(narrow)
            self._scopes[source, family.name] = scope
        return scope

    def _owner_scope(self, source: str, family: Family) -> Scope[tuple[str, str]]:
        scope = self._owners.get((source, family.name))
        if scope is None:
            label, pod = family.scope.label, family.join.pod

            def narrow(owners: Sequence[tuple[str, str]]) -> tuple[str, str]:
                names = pods((owner for _, owner in owners), "")
                return f'{matchers(label, (namespace for namespace, _ in owners))}, {pod}=~"{names}"', ""

            scope = Scope(narrow, chunk=_OWNERS_PER_QUERY, unscoped_above=None, memory=_OWNERS_MEMORY_SECONDS)
            self._owners[source, family.name] = scope
        return scope


def _observe(
    plan: _Plan,
    replies: Mapping[Question, Reply],
    faults: Mapping[Question, tuple[str, str]],
    now: float,
) -> Observation:
    """Join the replies of one plan."""
    target, preset, questions = plan
    at = now
    for question in questions.values():
        if (fault := faults.get(question)) is not None:
            return target.unknown(now, *fault)
        time_of = replies[question].at
        if time_of is not None and time_of < at:
            at = time_of
    answers = {part: replies[question].value for part, question in questions.items()}
    match preset:
        case Ratio():
            return join.ratio(target, at, answers["events"], answers["samples"])
        case Quotient():
            return join.quotient(target, at, preset, answers["numerator"], answers["denominator"])
        case Quantile():
            buckets = {k: v for part, found in answers.items() if part.startswith("buckets/") for k, v in found.items()}
            return join.quantiles(target, at, preset, answers["value"], answers["samples"], buckets)
        case None:
            return join.custom(target, at, answers["value"], answers.get("samples"))
