"""Evaluations, batch by batch, from what is due to whose turn it is: look → collect → let pass, or give a turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from http import HTTPStatus

from resilience_operator.api.spec import SHARED_INTERVAL
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Mode, Policy
from resilience_operator.decision.model.target import TargetState
from resilience_operator.resilience import CallError, Deadline, NotFound, ReadAgain
from resilience_operator.runtime.announcer import Announcer
from resilience_operator.runtime.backlog import Backlog, Note
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.runtime.entry import Entry
from resilience_operator.runtime.errands import Errands
from resilience_operator.runtime.leadership import Leadership
from resilience_operator.runtime.metrics import EVALUATIONS
from resilience_operator.runtime.recorder import Recorder
from resilience_operator.runtime.refusal import Refusal, paused
from resilience_operator.runtime.scaled import Found, ScaledTargets
from resilience_operator.runtime.scheduler import Scheduler
from resilience_operator.runtime.store import PolicyStore
from resilience_operator.runtime.targets import Targets
from resilience_operator.runtime.tracing import Tracing
from resilience_operator.runtime.track import Values
from resilience_operator.runtime.turns import Turns
from resilience_operator.runtime.zones import Zones
from resilience_operator.signals.collect import Collector
from resilience_operator.signals.findings import Findings
from resilience_operator.signals.model import SignalRequest

log = logging.getLogger(__name__)

_Ready = tuple[Entry, TargetState, Policy]
"""A policy to collect for. The spec and the target are those that its requests were made from."""

_Answered = tuple[Entry, TargetState, Policy, Findings]

_Turns = set[asyncio.Task[Note | None]]
"""The turns of one batch that have not ended."""

COLLECT_TIME = 7.0
"""Seconds that metric sources have to answer, at most."""

COLLECT_AT_LEAST = 5.0
"""Seconds that they have, however short the interval: an answer that is late is worth more than none."""

SCALE_LABEL = "resilience-operator.io/aggregate-to-scale"
"""ClusterRoles with this label, set to "true", add to what the operator may scale."""

_EVALUATED = EVALUATIONS.labels("evaluated")

_BATCH = 25
"""Policies that are looked at before others get their turn on the event loop, and those that changed theirs."""

MAX_SPLITS = 64
"""How often a batch is split at most to find the policies for which collecting fails."""

LOG_AGAIN = 600.0
"""Seconds after which an error that a policy repeats is logged again with its traceback."""

BEHIND_TIMEOUT = 120.0
"""Seconds to wait for the watch to show what an action wrote; after them it is decided on what there is (and each
action still checks its target before it writes)."""

BEHIND_LIST = 10.0
"""Seconds after which the watch is no longer waited for, and the targets are listed: it may have gone mute."""


class Reconciler:
    """Evaluates policies, batch by batch. on_missing: called when one turns out not to be there any more."""

    def __init__(
        self,
        *,
        store: PolicyStore,
        targets: Targets,
        scaled: ScaledTargets,
        collector: Collector,
        zones: Zones,
        turns: Turns,
        scheduler: Scheduler,
        backlog: Backlog,
        recorder: Recorder,
        announcer: Announcer,
        errands: Errands,
        leadership: Leadership,
        tracing: Tracing,
        clock: Callable[[], float],
        on_missing: Callable[[], None],
    ) -> None:
        self._store = store
        self._targets = targets
        self._scaled = scaled
        self._collector = collector
        self._zones = zones
        self._turns = turns
        self._scheduler = scheduler
        self._backlog = backlog
        self._recorder = recorder
        self._announcer = announcer
        self._errands = errands
        self._leadership = leadership
        self._tracing = tracing
        self._clock = clock
        self._on_missing = on_missing

    async def evaluate(self, entries: Sequence[Entry], planned: bool) -> None:
        """Evaluate a batch of policies that read the same metric source. Never raises but for cancellation.

        planned: it is their time; else something happened, and what others were answered a moment ago is good enough.
        """
        entries = [entry for entry in entries if self._leadership.owns(entry.namespace)]
        if not entries:
            return
        with self._tracing.evaluation(len(entries)):
            deadline = Deadline.after(COLLECT_TIME)
            scaled = await self._scaled.read(entries, deadline)
            turns: _Turns = set()
            try:
                await self._collect_all(self._resolve(entries, scaled, turns), deadline, planned, turns)
                while turns:
                    await asyncio.wait(turns)
            finally:
                for turn in turns:
                    turn.cancel()
                if turns:
                    await asyncio.gather(*turns, return_exceptions=True)

    def _resolve(self, entries: Sequence[Entry], scaled: Mapping[str, Found], turns: _Turns) -> list[_Ready]:
        """The policies that can be evaluated. The others are skipped, each with its reason."""
        ready: list[_Ready] = []
        for entry in entries:
            try:
                found = self._look(entry, scaled)
                if found is None:
                    self._scheduler.done(entry)
                elif isinstance(found, Refusal):
                    self._start(entry, partial(self._turns.refuse, entry, found), turns)
                elif entry.policy is not None:
                    if entry.requests_for is not found.revisions:
                        owners = {r.owner: r.name for r in found.revisions if r.replicas > 0}
                        entry.requests, entry.requests_for = self._requests(entry, owners), found.revisions
                    ready.append((entry, found, entry.policy))
            except Exception as error:
                self._give_up(entry, Stage.RESOLVE, error)
        return ready

    async def _collect_all(self, ready: Sequence[_Ready], deadline: Deadline, planned: bool, turns: _Turns) -> None:
        """Collect for all, and begin the turns. If collecting fails, split the batch until the cause is alone."""
        batches, splits = [ready], 0
        while batches:
            left = dict(enumerate(batches.pop()))
            if not left:
                continue
            try:
                async with aclosing(self._collect(left, deadline, planned)) as collected:
                    async for portion in collected:
                        await self._hand_out(portion, turns)
            except Exception as error:
                rest = tuple(left.values())
                if len(rest) > 1 and splits < MAX_SPLITS:
                    splits += 1
                    batches += [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
                    continue
                for entry, _, _ in rest:
                    self._give_up(entry, Stage.COLLECT, error)

    async def _hand_out(self, portion: Iterator[_Answered], turns: _Turns) -> None:
        """Those for whom something changed begin their turns; then the others pass, who are in no hurry."""
        unchanged: list[tuple[Entry, TargetState, Findings, Values]] = []
        for number, (entry, target, policy, findings) in enumerate(portion, 1):
            try:
                # Changed, deleted or paused while its signals were collected: what they say is no answer any more.
                if entry.policy is not policy or entry.deleted or (entry.pause is not None and self._is_paused(entry)):
                    self._again(entry)
                elif (values := self._same(entry, target, findings)) is not None:
                    unchanged.append((entry, target, findings, values))
                else:
                    observations = self._observations(entry, findings)
                    self._start(entry, partial(self._turns.take, entry, target, observations), turns)
            except Exception as error:
                self._give_up(entry, Stage.COMPARE, error)
            if number % _BATCH == 0:
                await asyncio.sleep(0)
        for first in range(0, len(unchanged), _BATCH):
            _EVALUATED.inc(sum([self._pass(*one) for one in unchanged[first : first + _BATCH]]))
            await asyncio.sleep(0)

    async def write(self, entry: Entry, note: Note) -> None:
        """Write a policy's note down. Never raises but for cancellation."""
        if self._leadership.owns(entry.namespace) and (failure := await self._contained(entry, note, Stage.WRITE)):
            await failure()

    def _start(self, entry: Entry, turn: Callable[[], Awaitable[Note | None]], turns: _Turns) -> None:
        """Begin a policy's turn; if it is just being written down, it has it right after.

        Its lock is released by the end of the task, which comes on every path: a task may be cancelled unstarted.
        """
        if entry.busy:
            self._again(entry)
            return
        entry.busy = True
        task = asyncio.create_task(self._contained(entry, turn, Stage.RECONCILE))
        turns.add(task)
        task.add_done_callback(partial(self._ended, entry, turns))

    def _ended(self, entry: Entry, turns: _Turns, task: asyncio.Task[Note | None]) -> None:
        """Release a policy whose turn has ended, and queue what is left to write."""
        turns.discard(task)
        entry.busy = False
        self._scheduler.done(entry)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            contain(Stage.RECONCILE, *entry.key, error)
        elif (note := task.result()) is not None and not entry.deleted:
            self._backlog.put(entry, note)

    def _is_paused(self, entry: Entry) -> bool:
        return entry.pause is not None and not entry.pause.over(self._clock())

    def _again(self, entry: Entry) -> None:
        """Evaluate a policy again soon."""
        self._scheduler.poke(entry)
        self._scheduler.done(entry)

    def _same(self, entry: Entry, target: TargetState, findings: Findings) -> Values | None:
        """What was measured, where deciding would come to nothing new, and there is nothing to tell or to refresh."""
        steady, policy = entry.steady, entry.policy
        if (
            steady is None
            or policy is None
            or self._errands.waits(entry.uid)
            or self._announcer.waits(entry.uid)
            or self._recorder.refresh_due(entry)
        ):
            return None
        now = self._clock()
        if steady.bounds is not None:
            numbers = findings.numbers()
            if numbers is not None and steady.still_valid_for(policy, numbers, target, entry.memory, now):
                return numbers
        observations = self._observations(entry, findings)
        if steady.still_valid(policy, observations, target, entry.memory, now):
            return {name: o.measured for name, o in observations.items() if o.measured is not None}
        return None

    def _pass(self, entry: Entry, target: TargetState, findings: Findings, values: Values) -> bool:
        """Let one pass that is as it was, even where that is still to be written. False if it changed since."""
        if entry.deleted or entry.steady is None:
            self._scheduler.done(entry)
            return False
        try:
            now = self._clock()
            if entry.track is not None:
                entry.track.again(now, values)
            self._scheduler.next_turn(entry, entry.steady.until - now)
            self._scheduler.done(entry)
            if entry.gist is None:
                observations = self._observations(entry, findings)
                self._backlog.put(entry, partial(self._turns.write_up, entry, target, observations))
        except Exception as error:
            self._give_up(entry, Stage.COMPARE, error)
            return False
        return True

    def expect(self, entry: Entry) -> None:
        """Tell the collector what a policy will ask for, so that shared questions cover it from the first."""
        self._collector.expect(self._requests(entry, {}))

    def _look(self, entry: Entry, scaled: Mapping[str, Found]) -> TargetState | Refusal | None:
        """The target's state; or why the policy is not evaluated; or None when it is too early to tell."""
        if entry.deleted:
            return None
        if entry.policy is None:
            return Refusal("False", "PolicyUnreadable" if entry.unreadable else "InvalidSpec", str(entry.problem))
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
        if isinstance(target, Exception):
            if isinstance(target, CallError):
                return _unreadable(entry, target)
            raise target
        if target is None and (reason := self._targets.unreadable(entry.target)):
            return Refusal("False", "TargetUnreadable", f"{reason}. Nothing is done until it can be read: correct it")
        if target is None:
            return Refusal(
                "False",
                "TargetNotFound",
                f"there is no {kind} {name} in namespace {namespace}: create it, or correct spec.targetRef",
            )
        if entry.pause is not None and self._is_paused(entry):
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
            self._scheduler.poke(entry, 0.2)
            return False
        entry.behind = ()
        return True

    async def _collect(
        self, left: dict[int, _Ready], deadline: Deadline, planned: bool
    ) -> AsyncGenerator[Iterator[_Answered], None]:
        """What is found, of those together whose answers are there. They are taken out of `left`."""
        ready = tuple(left.values())
        within = min(entry.interval for entry, _, _ in ready)
        portions = self._collector.collect(
            [entry.requests for entry, _, _ in ready],
            now=self._clock(),
            deadline=deadline.within(max(within, COLLECT_AT_LEAST)),
            # What happened is told apart by the target and the spec; of the metrics, the last beat's will do.
            max_age=min(1.0, within / 10) if planned else min(within, max(within / 2, SHARED_INTERVAL)),
            # Those with queries of their own are evaluated all the time; the crowd asks once in so many seconds.
            shared_age=0.0 if ready[0][0].shared else min(within / 3, SHARED_INTERVAL),
        )
        async with aclosing(portions):
            with self._tracing.span("collect"):
                portion = await anext(portions, None)
            while portion is not None:
                yield ((*left.pop(number), findings) for number, findings in portion)
                portion = await anext(portions, None)

    def _observations(self, entry: Entry, findings: Findings) -> dict[str, Observation]:
        observations = dict(zip((signal.name for signal in entry.signals), findings.observations(), strict=True))
        return observations | self._lost_zones(entry)

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

    async def _contained(self, entry: Entry, work: Callable[[], Awaitable[Note | None]], stage: Stage) -> Note | None:
        """Contain whatever goes wrong in one policy. Returns what is left to write."""
        try:
            with self._tracing.span("policy", {"k8s.namespace.name": entry.namespace, "resilience.policy": entry.name}):
                return await work()
        except ReadAgain as error:
            log.info("%s/%s changed meanwhile, decided anew: %s", *entry.key, error)
            EVALUATIONS.labels("superseded").inc()
            self._scheduler.poke(entry, 1.0)
        except NotFound:
            log.info("%s/%s is not there any more", *entry.key)
            EVALUATIONS.labels("missing").inc()
            self._on_missing()
        except CallError as error:
            if not entry.deleted:
                log.warning("%s/%s: %s", *entry.key, error)
            EVALUATIONS.labels("failed").inc()
        except Exception as error:
            return self._failed(entry, stage, error)
        return None

    def _failed(self, entry: Entry, stage: Stage, error: Exception) -> Note:
        """Count and log an unexpected error. Returns the note that shows it on the policy."""
        EVALUATIONS.labels("error").inc()
        now, what = self._clock(), f"{stage}/{type(error).__name__}"
        known = entry.failure == what and now - entry.failure_logged < LOG_AGAIN
        contain(stage, *entry.key, error, known=known)
        if not known:
            entry.failure, entry.failure_logged = what, now
        return partial(self._turns.report_failure, entry, stage, error)

    def _give_up(self, entry: Entry, stage: Stage, error: Exception) -> None:
        """End an evaluation that failed before its turn. The next one is due as usual."""
        note = self._failed(entry, stage, error)
        self._scheduler.done(entry)
        if not entry.deleted:
            self._backlog.put(entry, note)


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
