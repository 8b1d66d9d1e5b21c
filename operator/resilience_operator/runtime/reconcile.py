"""One evaluation, from what is due to what is written: collect → decide → act → record.

The order in which things are written is what makes a crash harmless:
1. the intent (status): what is about to be done, with the timers that led to it;
2. the actions, each of which checks its target again;
3. the events, under names made from the decision, so that telling twice is one event;
4. the status: what was done. A crash before it leaves the intent, which the next process settles.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import NamedTuple

import orjson

from resilience_operator.actions.executor import Executor
from resilience_operator.api.conditions import ConditionType, condition
from resilience_operator.api.status import PolicyStatus
from resilience_operator.decision.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.decide import Decision, decide
from resilience_operator.decision.memory import Intent, Memory
from resilience_operator.decision.observation import Observation
from resilience_operator.decision.policy import Mode
from resilience_operator.decision.remember import remember, settle
from resilience_operator.decision.resting import rest
from resilience_operator.decision.steady import gist, steady_after
from resilience_operator.decision.target import TargetState
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.resilience import CallError, Deadline, NotFound, ReadAgain
from resilience_operator.runtime import telling
from resilience_operator.runtime.announcer import Announcer
from resilience_operator.runtime.entry import Entry
from resilience_operator.runtime.errands import Errands
from resilience_operator.runtime.leadership import Leadership
from resilience_operator.runtime.metrics import ACTIONS, EVALUATIONS
from resilience_operator.runtime.places import Places, Rank
from resilience_operator.runtime.recorder import Recorder
from resilience_operator.runtime.refusal import Refusal, paused, was_paused
from resilience_operator.runtime.scaled import Found, ScaledTargets
from resilience_operator.runtime.scheduler import Scheduler
from resilience_operator.runtime.sources import Problem
from resilience_operator.runtime.store import PolicyStore
from resilience_operator.runtime.targets import Targets
from resilience_operator.runtime.tracing import Tracing
from resilience_operator.runtime.track import tracked
from resilience_operator.runtime.zones import Zones
from resilience_operator.signals.collect import Collector
from resilience_operator.signals.model import SignalRequest
from resilience_operator.status.records import moment, record
from resilience_operator.status.render import render, render_refusal

log = logging.getLogger(__name__)

COLLECT_TIME = 7.0
"""Seconds that metric sources have to answer, an interval at most."""

RECORD_WITHIN = 0.8
"""Share of an interval after which what is only to be recorded waits no longer: it is decided anew at the next beat."""

RECORD_AT_LEAST = 0.5
"""Seconds that it waits in any case."""

ACT_TIME = 12.0
"""Seconds that a policy has for acting and recording once it has its place."""

SCALE_LABEL = "resilience-operator.io/aggregate-to-scale"
"""ClusterRoles with this label, set to "true", add to what the operator may scale."""

_BATCH = 500
"""Policies that are looked at before others get their turn on the event loop, and those that changed theirs."""

WORKERS = 16
"""Policies of one process that act or write at once; those that act come first."""

WORKERS_OF_A_NAMESPACE = 12
"""Of them, those of one namespace."""

BEHIND_TIMEOUT = 120.0
"""Seconds to wait for the watch to show what an action wrote; after them it is decided on what there is (and each
action still checks its target before it writes)."""

BEHIND_LIST = 10.0
"""Seconds after which the watch is no longer waited for, and the targets are listed: it may have gone mute."""


class Done(NamedTuple):
    """What became of a decision's commands.

    memory: with them. trace_id: of the evaluation, where there is anything to tell; or empty. errands: those that are
    begun once it is recorded.
    """

    memory: Memory
    trace_id: str = ""
    outcomes: tuple[Outcome, ...] = ()
    errands: tuple[Command, ...] = ()


class Reconciler:
    """Evaluates policies, batch by batch."""

    def __init__(
        self,
        *,
        store: PolicyStore,
        targets: Targets,
        scaled: ScaledTargets,
        collector: Collector,
        zones: Zones,
        live: Executor,
        rehearsal: Executor,
        recorder: Recorder,
        announcer: Announcer,
        errands: Errands,
        notifiers: Notifiers,
        leadership: Leadership,
        tracing: Tracing,
        clock: Callable[[], float],
        tracks: bool = False,
    ) -> None:
        self._store = store
        self._targets = targets
        self._scaled = scaled
        self._collector = collector
        self._zones = zones
        self._live, self._rehearsal = live, rehearsal
        self._recorder = recorder
        self._announcer = announcer
        self._errands = errands
        self._notifiers = notifiers
        self._leadership = leadership
        self._tracing = tracing
        self._clock = clock
        self._tracks = tracks
        self._workers = Places(WORKERS, WORKERS_OF_A_NAMESPACE)
        self.scheduler: Scheduler | None = None
        self.on_missing: Callable[[], None] = lambda: None

    async def evaluate(self, entries: Sequence[Entry], planned: bool) -> None:
        """Evaluate a batch of policies that read the same metric source. Never raises but for cancellation.

        planned: it is their time; else something happened, and what others were answered a moment ago is good enough.
        """
        entries = [entry for entry in entries if self._leadership.owns(entry.namespace)]
        if not entries:
            return
        with self._tracing.evaluation(len(entries)):
            deadline = Deadline.after(COLLECT_TIME)
            until = Deadline.after(RECORD_WITHIN * min(entry.interval for entry in entries))
            scaled = await self._scaled.read(entries, deadline)
            ready: list[tuple[Entry, TargetState]] = []
            refused: list[tuple[Entry, Refusal]] = []
            for entry in entries:
                found = self._look(entry, scaled)
                if isinstance(found, Refusal):
                    refused.append((entry, found))
                elif found is not None:
                    ready.append((entry, found))
                elif self.scheduler is not None:
                    self.scheduler.done(entry)
            async with asyncio.TaskGroup() as group:
                for entry, refusal in refused:
                    group.create_task(self._guarded(entry, self._refuse(entry, refusal, until)))
                collected = await self._collect(ready, deadline, planned)
                # However long that took.
                until = Deadline.after(max(until.remaining(), RECORD_AT_LEAST))
                for number, ((entry, target), observations) in enumerate(zip(ready, collected, strict=True)):
                    if number % _BATCH == _BATCH - 1:
                        await asyncio.sleep(0)
                    if not self._passes(entry, target, observations):
                        group.create_task(self._guarded(entry, self._one(entry, target, observations, until)))

    def _passes(self, entry: Entry, target: TargetState, observations: Mapping[str, Observation]) -> bool:
        """Whether a policy needs no more than to be due again, since nothing changed."""
        now = self._clock()
        if not self._unchanged(entry, target, observations, now):
            return False
        if entry.track is not None:
            entry.track.again(now, observations)
        if self.scheduler is not None and entry.steady is not None:
            self.scheduler.next_turn(entry, entry.steady.until - now)
            self.scheduler.done(entry)
        EVALUATIONS.labels("evaluated").inc()
        return True

    def _unchanged(
        self, entry: Entry, target: TargetState, observations: Mapping[str, Observation], now: float
    ) -> bool:
        """Whether deciding, telling and recording would all come to nothing."""
        return (
            entry.steady is not None
            and entry.policy is not None
            and not self._errands.waits(entry.uid)
            and not self._announcer.waits(entry.uid)
            and not self._recorder.refresh_due(entry)
            and entry.steady.holds(entry.policy, observations, target, entry.memory, now)
        )

    def expect(self, entry: Entry) -> None:
        """Tell the collector what a policy will ask for, so that shared questions cover it from the first."""
        self._collector.expect(self._requests(entry, {}))

    def _look(self, entry: Entry, scaled: Mapping[str, Found]) -> TargetState | Refusal | None:
        """The target's state; or why the policy is not evaluated; or None when it is too early to tell."""
        if entry.deleted:
            return None
        if entry.policy is None:
            return Refusal("False", "InvalidSpec", str(entry.problem))
        if entry.policy.mode is Mode.SUSPENDED:
            return Refusal("True", "Suspended", "spec.mode is Suspended: nothing is looked at and nothing is done")
        first = self._store.guarding(entry.target)[0]
        kind, namespace, name = entry.target
        if first is not entry:
            return Refusal(
                "False",
                "TargetConflict",
                f"the older policy {first.name} guards {kind} {name} already: delete one of the two, or choose "
                "another target",
            )
        if entry.behind and not self._caught_up(entry):
            return None
        target = scaled[entry.uid] if entry.uid in scaled else self._targets.get(entry.target)
        if isinstance(target, CallError):
            return _unreadable(entry, target)
        if target is None:
            return Refusal(
                "False",
                "TargetNotFound",
                f"there is no {kind} {name} in namespace {namespace}: create it, or correct spec.targetRef",
            )
        if entry.pause is not None and not entry.pause.over(self._clock()):
            return paused(entry, entry.pause, target)
        return target

    def _caught_up(self, entry: Entry) -> bool:
        """Whether the watch shows what the last actions wrote. Until then nothing may be decided on it."""
        waited = asyncio.get_running_loop().time() - entry.behind_since
        if waited < BEHIND_TIMEOUT and not all(
            self._targets.shows(kind, entry.namespace, name, version) for kind, name, version in entry.behind
        ):
            if waited >= BEHIND_LIST * (entry.behind_lists + 1):
                entry.behind_lists += 1
                for kind, _, _ in entry.behind:
                    self._targets.relist(kind)
            if self.scheduler is not None:
                self.scheduler.poke(entry, 0.2)
            return False
        entry.behind = ()
        return True

    async def _collect(
        self, ready: Sequence[tuple[Entry, TargetState]], deadline: Deadline, planned: bool
    ) -> Iterator[dict[str, Observation]]:
        requests: list[SignalRequest] = []
        for entry, target in ready:
            if entry.requests_for is not target.revisions:
                owners = {r.owner: r.name for r in target.revisions if r.replicas > 0}
                entry.requests, entry.requests_for = self._requests(entry, owners), target.revisions
            requests += entry.requests
        if not requests:
            return (self._lost_zones(entry) for entry, _ in ready)
        within = min(entry.interval for entry, _ in ready)
        with self._tracing.span("collect"):
            measured = await self._collector.collect(
                requests,
                now=self._clock(),
                deadline=deadline.within(within),
                max_age=min(1.0, within / 10) if planned else within / 2,
            )
        return (
            {signal.name: next(measured) for signal in entry.signals} | self._lost_zones(entry) for entry, _ in ready
        )

    def _lost_zones(self, entry: Entry) -> dict[str, Observation]:
        """What the nodes tell, which no metric source is asked for."""
        if not entry.zone_signals:
            return {}
        observation = self._zones.observe(self._targets.placement(entry.target), self._clock())
        return dict.fromkeys(entry.zone_signals, observation)

    @staticmethod
    def _requests(entry: Entry, owners: Mapping[str, str]) -> tuple[SignalRequest, ...]:
        kind, namespace, name = entry.target
        return tuple(
            SignalRequest(namespace, name, kind, owners, signal, entry.source, entry.family) for signal in entry.signals
        )

    async def _one(
        self, entry: Entry, target: TargetState, observations: Mapping[str, Observation], until: Deadline
    ) -> None:
        """Decide, and go on to acting and recording where there is anything to do. until: for mere recording."""
        assert entry.policy is not None
        now = self._clock()
        was, entry.gist = entry.gist, None
        entry.steady = entry.refusal = None
        before = memory = entry.memory
        news = was_paused(entry) or memory.intent is not None or self._errands.waits(entry.uid)
        if news:
            async with self._workers.one(entry.namespace, Rank.TELL):
                memory = await self._taken_up(entry, target, now, Deadline.after(ACT_TIME))
        with self._tracing.span("decide"):
            decision = decide(entry.policy, observations, target, memory, now)
        if self._tracks:
            entry.track = tracked(entry.track, decision, target)
        found = gist(decision)
        news = news or self._announcer.waits(entry.uid)
        quiet = not news and not decision.commands
        same = quiet and not decision.notices and decision.memory == before
        if same and found == was and not self._recorder.refresh_due(entry):
            self._plan(entry, decision, (), now)
        else:
            done = Done(decision.memory, self._tracing.trace_id() if decision.commands or decision.notices else "")
            if decision.commands:
                async with self._workers.one(entry.namespace, Rank.ACT):
                    done = await self._act(entry, target, decision, done.trace_id, Deadline.after(ACT_TIME))
            rank = Rank.RECORD if quiet and not decision.notices else Rank.TELL
            async with self._workers.one(entry.namespace, rank, until if rank is Rank.RECORD else None) as placed:
                if not placed:
                    # It is decided anew on what is measured then; timers go on from here.
                    entry.memory = decision.memory
                    EVALUATIONS.labels("unrecorded").inc()
                    self._plan(entry, decision, (), now)
                    return
                await self._record(entry, target, decision, done, Deadline.after(ACT_TIME))
        EVALUATIONS.labels("evaluated").inc()
        if quiet and not self._announcer.waits(entry.uid):
            entry.gist = found
            if same:
                entry.memory = before
                entry.steady = steady_after(decision, observations, target, before)

    async def _act(
        self, entry: Entry, target: TargetState, decision: Decision, trace_id: str, deadline: Deadline
    ) -> Done:
        """Carry out what was decided. Others may act before it is told and recorded: the intent is."""
        assert entry.policy is not None
        now, after = decision.at, decision.memory
        executor = self._rehearsal if entry.policy.mode is Mode.DRY_RUN else self._live
        commands, errands = decision.commands, tuple[Command, ...]()
        if executor.changes_cluster:
            commands = tuple(c for c in decision.commands if c.verb is not Verb.PLUGIN)
            errands = tuple(c for c in decision.commands if c.verb is Verb.PLUGIN)
        if not commands:
            return Done(after, trace_id, errands=errands)
        if executor.changes_cluster:
            fresh = {notice.key for notice in decision.notices}
            intent = replace(after, intent=Intent(now, commands, trace_id), told=after.told - fresh)
            await self._write(entry, decision, target, intent, deadline, why="intent")
        with self._tracing.span("act", {"resilience.actions": [c.verb.value for c in commands]}):
            executed = await executor.carry_out(target, commands, deadline)
        outcomes = executed.outcomes
        entry.behind = tuple((c.kind, c.name, int(c.resource_version)) for c in executed.changes)
        entry.behind_since = asyncio.get_running_loop().time()
        entry.behind_lists = 0
        entry.memory = after = remember(after, outcomes, target, now)
        entry.journal = entry.journal.add([record(o, now, trace_id) for o in outcomes if o.happened])
        for outcome in outcomes:
            ACTIONS.labels(outcome.command.verb.value, outcome.result.value).inc()
            _log_outcome(entry, outcome, trace_id)
        return Done(after, trace_id, outcomes, errands)

    async def _record(
        self, entry: Entry, target: TargetState, decision: Decision, done: Done, deadline: Deadline
    ) -> None:
        """Tell and write down what was decided and done."""
        now, outcomes, trace_id = decision.at, done.outcomes, done.trace_id
        entry.memory = done.memory
        await self._announcer.tell(entry, decision, outcomes, deadline, trace_id)
        telling.tell_outcomes(self._notifiers, entry, target, outcomes, now, trace_id)
        telling.tell_notices(self._notifiers, entry, decision, trace_id)
        why = "decision" if outcomes else "verdict"
        await self._write(entry, decision, target, done.memory, deadline, why=why, outcomes=outcomes)
        # Only now: the status holds the breach that the calls are made for.
        if self._leadership.owns(entry.namespace):
            for errand in done.errands:
                self._errands.begin(entry, target, errand)
        self._plan(entry, decision, outcomes, now)

    async def _taken_up(self, entry: Entry, target: TargetState, now: float, deadline: Deadline) -> Memory:
        """The memory, with what happened since the last evaluation: told, and in the journal."""
        if was_paused(entry):
            await self._announcer.tell_pause(entry, target, None, now, deadline)
        return await self._returned(entry, target, await self._settled(entry, target, deadline), now, deadline)

    async def _settled(self, entry: Entry, target: TargetState, deadline: Deadline) -> Memory:
        """The memory, with an intent that an earlier process left taken up: told, and in the journal."""
        intent = entry.memory.intent
        if intent is None:
            return entry.memory
        memory, done = settle(entry.memory, target)
        entry.journal = entry.journal.add([record(o, intent.at, intent.trace_id) for o in done])
        await self._announcer.tell_outcomes(entry, target, done, intent.at, deadline, intent.trace_id)
        telling.tell_outcomes(self._notifiers, entry, target, done, intent.at, intent.trace_id)
        for outcome in done:
            log.info("%s/%s: %s was done before the restart", *entry.key, outcome.command.verb)
        entry.memory = memory
        return memory

    async def _returned(
        self, entry: Entry, target: TargetState, memory: Memory, now: float, deadline: Deadline
    ) -> Memory:
        """The memory with the calls of plugins that have returned since: told, and in the journal."""
        outcomes = self._errands.take(entry)
        if not outcomes:
            return memory
        trace_id = self._tracing.trace_id()
        entry.memory = memory = remember(memory, outcomes, target, now)
        entry.journal = entry.journal.add([record(o, now, trace_id) for o in outcomes])
        for outcome in outcomes:
            ACTIONS.labels(outcome.command.verb.value, outcome.result.value).inc()
            _log_outcome(entry, outcome, trace_id)
        await self._announcer.tell_outcomes(entry, target, outcomes, now, deadline, trace_id)
        telling.tell_outcomes(self._notifiers, entry, target, outcomes, now, trace_id)
        return memory

    async def _write(
        self,
        entry: Entry,
        decision: Decision,
        target: TargetState,
        memory: Memory,
        deadline: Deadline,
        *,
        why: str,
        outcomes: Sequence[Outcome] = (),
    ) -> None:
        failures = [o.message for o in outcomes if o.result is Result.FAILED]
        if untold := self._announcer.untold(entry.uid):
            # Should this process end, the next one tells them.
            memory = replace(memory, told=memory.told - untold)
        rendered = render(
            decision,
            target,
            memory,
            entry.journal,
            entry.status.conditions,
            failures=failures,
            problem=entry.source_problem or self._plugin_problem(entry),
        )
        await self._recorder.write_status(entry, rendered, deadline, why=why)

    def _plugin_problem(self, entry: Entry) -> Problem | None:
        """What is wrong with the plugins that the rules name. The rest of the policy goes on all the same."""
        names = {p.name for rule in entry.policy.rules for p in rule.plugins} if entry.policy is not None else ()
        problems = [problem for name in sorted(names) if (problem := self._errands.problem(name))]
        return Problem("PluginNotFound", "; ".join(problems)) if problems else None

    def _plan(self, entry: Entry, decision: Decision, outcomes: Sequence[Outcome], now: float) -> None:
        if self.scheduler is None:
            return
        if any(o.undecided for o in outcomes):
            self.scheduler.poke(entry, 1.0)
        self.scheduler.next_turn(entry, None if decision.wake is None else decision.wake - now)

    async def _refuse(self, entry: Entry, refusal: Refusal, until: Deadline) -> None:
        """Record why it is not evaluated. until: as for `_one`."""
        paused_by_hand = refusal.pause is not None
        if paused_by_hand or refusal != entry.refusal:
            rank = Rank.TELL if paused_by_hand else Rank.RECORD
            async with self._workers.one(entry.namespace, rank, None if paused_by_hand else until) as placed:
                if placed:
                    await self._record_refusal(entry, refusal, Deadline.after(ACT_TIME))
        EVALUATIONS.labels("refused").inc()

    async def _record_refusal(self, entry: Entry, refusal: Refusal, deadline: Deadline) -> None:
        if refusal.pause is not None and refusal.target is not None:
            now = self._clock()
            entry.memory = rest(entry.memory, now)
            if not was_paused(entry):
                await self._announcer.tell_pause(entry, refusal.target, refusal.pause, now, deadline)
            if self.scheduler is not None and refusal.pause.until is not None:
                self.scheduler.next_turn(entry, refusal.pause.until - now)
        await self._write_ready(entry, refusal, deadline)

    async def _write_ready(self, entry: Entry, refusal: Refusal, deadline: Deadline) -> None:
        entry.gist = entry.steady = entry.refusal = None
        ready = condition(
            ConditionType.READY,
            refusal.status,
            refusal.reason,
            refusal.message,
            now=moment(self._clock()),
            generation=entry.generation,
        )
        memory = entry.memory if refusal.pause is not None else None
        known = PolicyStatus.model_validate(orjson.loads(entry.raw_status))
        await self._recorder.write_status(entry, render_refusal(known, ready, memory), deadline, why="refusal")
        if refusal.pause is None:
            entry.refusal = refusal

    async def _guarded(self, entry: Entry, evaluation: Awaitable[None]) -> None:
        """Contain whatever goes wrong in one policy."""
        try:
            with self._tracing.span("policy", {"k8s.namespace.name": entry.namespace, "resilience.policy": entry.name}):
                await evaluation
        except ReadAgain as error:
            log.info("%s/%s changed meanwhile, decided anew: %s", *entry.key, error)
            EVALUATIONS.labels("superseded").inc()
            if self.scheduler is not None:
                self.scheduler.poke(entry, 1.0)
        except NotFound:
            log.info("%s/%s is not there any more", *entry.key)
            EVALUATIONS.labels("missing").inc()
            self.on_missing()
        except CallError as error:
            if not entry.deleted:
                log.warning("%s/%s: %s", *entry.key, error)
            EVALUATIONS.labels("failed").inc()
        except Exception as error:
            log.exception("%s/%s: the evaluation failed", *entry.key)
            EVALUATIONS.labels("error").inc()
            await self._tell_failure(entry, error)
        finally:
            # Whatever else is still under way in the batch.
            if self.scheduler is not None:
                self.scheduler.done(entry)

    async def _tell_failure(self, entry: Entry, error: Exception) -> None:
        try:
            refusal = Refusal("False", "EvaluationFailed", f"the evaluation failed: {type(error).__name__}")
            await self._write_ready(entry, refusal, Deadline.after(ACT_TIME))
        except CallError as failure:
            log.warning("%s/%s: its failure could not be told either: %s", *entry.key, failure)


def _unreadable(entry: Entry, error: CallError) -> Refusal:
    """Why a target's /scale cannot be read, in words that say what to change."""
    if error.status == HTTPStatus.FORBIDDEN:
        return Refusal(
            "False",
            "Forbidden",
            f"the operator may not read the scale of {entry.kind} {entry.target[2]}: grant its account get and "
            "patch on the kind's scale subresource, with a ClusterRole that has the label "
            f'{SCALE_LABEL}: "true"',
        )
    return Refusal("False", "UnsupportedTarget", str(error))


def _log_outcome(entry: Entry, outcome: Outcome, trace_id: str) -> None:
    level = logging.WARNING if outcome.result is Result.FAILED else logging.INFO
    extra = {
        "policy": f"{entry.namespace}/{entry.name}",
        "action": outcome.command.verb.value,
        "result": outcome.result.value,
        "rule": outcome.command.rule,
        "trace_id": trace_id,
    }
    why = f" ({outcome.message})" if outcome.message else ""
    log.log(
        level,
        "%s/%s: %s %s%s: %s",
        *entry.key,
        outcome.command.verb,
        outcome.result,
        why,
        outcome.command.message,
        extra=extra,
    )
