"""A workload that exists only in memory: it starts pods, rolls out and obeys commands, as its controller does.

For `engine.simulate`, so that a policy can be tried on a scenario without a cluster. Every change makes a new value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from resilience_operator.decision.field_managers import HPA_CONTROLLER
from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.target import (
    DEFAULT_PROGRESS_DEADLINE,
    MANAGER,
    HorizontalPodAutoscaler,
    Revision,
    TargetState,
)
from resilience_operator.simulation.pods import (
    UNSCHEDULABLE,
    Fault,
    Pod,
    advance_pod,
    break_pod,
    heal,
    lose_readiness,
    start,
)
from resilience_operator.simulation.rollout import DEFAULT, Strategy, on_nodes, ordered, resized, rolled


@dataclass(frozen=True, slots=True)
class SimulatedRevision:
    """A revision that the workload has had: its number, and when it was made."""

    name: str
    number: int
    created: float


@dataclass(frozen=True, slots=True)
class Workload:
    """The simulated workload.

    template: the revision that its template makes. startup: seconds from a pod's start to its being ready; startups:
    the same for single revisions. broken: revisions whose pods never become ready. deadline:
    `progressDeadlineSeconds`. progressed: when the rollout last made progress. The managers are those of
    `TargetState`. faults: those in effect. nodes: pods that find a node; None for no limit. quota: pods that may
    exist; None for no limit. made: pods created so far.
    list_pods: the state contains the pods.
    """

    replicas: int
    template: str
    pods: tuple[Pod, ...]
    revisions: tuple[SimulatedRevision, ...]
    name: str = "simulated"
    namespace: str = "default"
    kind: str = "Deployment"
    paused: bool = False
    paused_by: str = ""
    pause_marked: bool = False
    resumed_by: str = ""
    template_by: str = ""
    scaled_by: str = ""
    startup: float = 30.0
    startups: Mapping[str, float] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    deadline: float = DEFAULT_PROGRESS_DEADLINE
    progressed: float = 0.0
    version: int = 1
    hpa: HorizontalPodAutoscaler | None = None
    strategy: Strategy = DEFAULT
    faults: tuple[Fault, ...] = ()
    nodes: int | None = None
    quota: int | None = None
    made: int = 0
    list_pods: bool = False

    def state(self, now: float) -> TargetState:
        """The state as the API server shows it."""
        counts = {k.name: [0, 0] for k in self.revisions}
        for pod in self.pods:
            counts[pod.revision][0] += 1
            counts[pod.revision][1] += pod.ready(now)
        made = self.template in counts
        updated, updated_ready = counts.get(self.template, (0, 0))
        rolled_out = made and updated == updated_ready == len(self.pods) == self.replicas
        return TargetState(
            kind=self.kind,
            namespace=self.namespace,
            name=self.name,
            uid=f"{self.namespace}/{self.name}",
            resource_version=str(self.version),
            replicas=self.replicas,
            ready=sum(ready for _, ready in counts.values()),
            rolled_out=rolled_out,
            revision=self.template if made else None,
            revisions=tuple(
                Revision(
                    k.name,
                    self.owner(k.name),
                    k.number,
                    k.created,
                    counts[k.name][0],
                    counts[k.name][1],
                    template=k.name,
                )
                for k in self.revisions
            ),
            paused=self.paused,
            paused_by=self.paused_by,
            pause_marked=self.pause_marked,
            resumed_by=self.resumed_by,
            template_by=self.template_by,
            scaled_by=self.scaled_by,
            progress_deadline_exceeded=self._deadline_exceeded(updated_ready, now),
            hpa=self.hpa,
            template=self.template,
            pods=tuple(pod.state(now) for pod in self.pods) if self.list_pods or not rolled_out else None,
            create_failure=self._create_failure(),
            progress_deadline=self.deadline,
            min_ready_seconds=self.strategy.min_ready,
            replaces_all=self.strategy.recreate or self.strategy.unavailable(self.replicas) >= self.replicas > 0,
        )

    def owner(self, revision: str) -> str:
        """The names of its pods without the last suffix: the ReplicaSet, or the workload itself for other kinds."""
        return f"{self.name}-{revision}" if self.kind == "Deployment" else self.name

    def _deadline_exceeded(self, updated_ready: int, now: float) -> bool:
        if self.paused or self.kind != "Deployment" or updated_ready >= self.replicas:
            return False
        ready = [p.ready_at for p in self.pods if p.revision == self.template and p.ready(now)]
        return now - max([self.progressed, *ready]) >= self.deadline

    def _create_failure(self) -> str:
        if self.quota is None or len(self.pods) < self.quota:
            return ""
        updated = sum(p.revision == self.template for p in self.pods)
        if len(self.pods) >= self.replicas and (self.paused or updated >= self.replicas):
            return ""
        return (
            f'pods "{self.owner(self.template)}-x" is forbidden: exceeded quota: pods, requested: pods=1, '
            f"used: pods={len(self.pods)}, limited: pods={self.quota}"
        )

    def release(self, revision: str, by: str, now: float) -> Workload:
        """With another template, applied by the field manager `by`."""
        if revision == self.template:
            return self
        return replace(self, template=revision, template_by=by, version=self.version + 1).advance(now)

    def scale(self, replicas: int, by: str, now: float) -> Workload:
        """With other replicas, set by the field manager `by`."""
        return replace(self, replicas=replicas, scaled_by=by, version=self.version + 1).advance(now)

    def partitioned(self, partition: int, now: float) -> Workload:
        """With another partition of its rolling update."""
        strategy = replace(self.strategy, partition=partition)
        return replace(self, strategy=strategy, version=self.version + 1).advance(now)

    def pause(self, by: str) -> Workload:
        """With its rollout paused by the field manager `by`. The operator also sets its annotation."""
        marked = self.pause_marked or by == MANAGER
        return replace(self, paused=True, paused_by=by, pause_marked=marked, resumed_by="", version=self.version + 1)

    def resume(self, now: float, by: str = "") -> Workload:
        """With its rollout going on.

        by: the field manager that replaces the object or sets `paused: false`. Empty if the field is removed, as by
        `kubectl rollout resume`: then no manager is recorded, and the operator's annotation stays.
        """
        resumed = replace(
            self,
            paused=False,
            paused_by="",
            pause_marked=self.pause_marked and by in ("", "kubectl-edit"),
            resumed_by="" if by == MANAGER else by,
            progressed=now,
            version=self.version + 1,
        )
        return resumed.advance(now)

    def with_fault(self, fault: Fault, now: float) -> Workload:
        """With a fault from now on, in the pods that exist and in those to come."""
        found = replace(self, faults=(*self.faults, fault), version=self.version + 1)
        pods: list[Pod] = []
        left = len(self.pods) if fault.pods is None else fault.pods
        for pod in sorted(self.pods, key=lambda p: -p.created):
            matches = pod.fault is None and fault.revision in ("", pod.revision) and left > 0
            changed = break_pod(pod, fault, self._startup(pod.revision), now) if matches else pod
            left -= changed.fault is fault
            pods.append(changed)
        order = {pod.name: pod for pod in pods}
        return replace(found, pods=tuple(order[pod.name] for pod in self.pods)).advance(now)

    def without_fault(self, fault: Fault, now: float) -> Workload:
        """With a fault ended: its pods recover."""
        pods = tuple(heal(p, self._startup(p.revision), now) if p.fault is fault else p for p in self.pods)
        faults = tuple(f for f in self.faults if f is not fault)
        return replace(self, faults=faults, pods=pods, version=self.version + 1).advance(now)

    def fail_readiness(self, names: Collection[str], now: float, seconds: float) -> Workload:
        """With pods that are not ready for so many seconds."""
        pods = tuple(
            replace(lose_readiness(p, now), ready_at=now + seconds) if p.name in names else p for p in self.pods
        )
        return replace(self, pods=pods, version=self.version + 1)

    def with_limits(self, nodes: int | None, quota: int | None, now: float) -> Workload:
        """With other limits on the pods that find a node, and on those that may exist."""
        return replace(self, nodes=nodes, quota=quota, version=self.version + 1).advance(now)

    def apply(self, command: Command, now: float) -> Workload:
        """After one of the operator's commands."""
        match command.verb:
            case Verb.SCALE_UP | Verb.SCALE_DOWN if command.via and self.hpa is not None:
                return self.with_hpa_min(int(command.to or 0), now)
            case Verb.SCALE_UP | Verb.SCALE_DOWN:
                return self.scale(int(command.to or 0), MANAGER, now)
            case Verb.ADOPT_MINIMUM if self.hpa is not None:
                return replace(self, hpa=replace(self.hpa, original_min=None), version=self.version + 1)
            case Verb.PAUSE | Verb.FREEZE:
                return self.pause(MANAGER)
            case Verb.RESUME | Verb.UNFREEZE:
                return self.resume(now, MANAGER)
            case Verb.ROLLBACK:
                restored = replace(self, template=str(command.to), template_by=MANAGER, progressed=now)
                return restored.resume(now, MANAGER)
            case _:
                return self

    def with_hpa_min(self, to: int, now: float) -> Workload:
        """With another `minReplicas`, set by the operator, which keeps the original in an annotation."""
        assert self.hpa is not None
        original = self.hpa.raised_from if self.hpa.raised_from is not None else self.hpa.min_replicas
        hpa = replace(self.hpa, min_replicas=to, original_min=None if to == original else original, min_by=MANAGER)
        raised = replace(self, hpa=hpa, version=self.version + 1)
        return raised if self.replicas >= to else raised.scale(to, HPA_CONTROLLER, now)

    def advance(self, now: float) -> Workload:
        """As its controller leaves it at `now`; the same object when there is nothing to do."""
        found = self._with_revision(now)
        pods = found.pods
        if any(p.changes_at <= now for p in pods):
            pods = tuple(advance_pod(p, found._startup(p.revision), now) for p in pods)
        pods, made = found._controlled(pods, now)
        pods = found._scheduled(pods, now)
        if pods == found.pods:
            return found
        progressed = found.progressed if {p.name for p in pods} == {p.name for p in found.pods} else now
        return replace(found, pods=pods, progressed=progressed, made=made)

    def _with_revision(self, now: float) -> Workload:
        """With a revision of its template. A paused controller makes none."""
        if self.paused or any(k.name == self.template for k in self.revisions):
            return self
        number = max((k.number for k in self.revisions), default=0) + 1
        made = SimulatedRevision(self.template, number, now)
        return replace(self, revisions=(*self.revisions, made), progressed=now)

    def _controlled(self, pods: tuple[Pod, ...], now: float) -> tuple[tuple[Pod, ...], int]:
        """The pods after one step of the controller, and how many were made so far."""
        made = self.made
        room = inf if self.quota is None else self.quota
        broken = [p.fault for p in pods if p.fault is not None]

        def one(revision: str, ordinal: int) -> Pod:
            nonlocal made
            made += 1
            suffix = str(ordinal) if self.kind == "StatefulSet" else f"{made:05x}"
            pod = Pod(revision, inf, f"{self.owner(revision)}-{suffix}", now, fault=self._fault_for(revision, broken))
            if pod.fault is not None:
                broken.append(pod.fault)
            pod = start(pod, self._startup(revision), now)
            return replace(pod, ready_at=inf) if revision in self.broken else pod

        def fresh(revision: str, count: int) -> tuple[Pod, ...]:
            allowed = int(min(count, max(0.0, room - len(pods)))) if room < inf else count
            return tuple(one(revision, 0) for _ in range(allowed))

        if self.kind == "StatefulSet":
            if self.paused:
                return pods[: self.replicas], made
            return ordered(pods, self.replicas, self.template, now, one, self.strategy.partition), made
        if self.kind == "DaemonSet":
            return (
                pods if self.paused else on_nodes(pods, self.replicas, self.template, self.strategy, now, fresh)
            ), made
        if self.paused:
            newest = max(self.revisions, key=lambda k: k.number).name
            surge = self.strategy.surge(self.replicas) if len({p.revision for p in pods}) > 1 else 0
            return resized(pods, self.replicas, newest, now, fresh, surge), made
        return rolled(pods, self.replicas, self.template, self.strategy, now, fresh), made

    def _fault_for(self, revision: str, broken: list[Fault]) -> Fault | None:
        """The fault that a new pod gets."""
        for fault in self.faults:
            if fault.revision in ("", revision) and (
                fault.pods is None or sum(f is fault for f in broken) < fault.pods
            ):
                return fault
        return None

    def _scheduled(self, pods: tuple[Pod, ...], now: float) -> tuple[Pod, ...]:
        """The pods after the scheduler: the first that fit have a node."""
        waiting = any(p.unschedulable and p.fault is None for p in pods)
        if not waiting and (self.nodes is None or len(pods) <= self.nodes):
            return pods
        room = len(pods) if self.nodes is None else self.nodes
        placed = sum(not p.unschedulable for p in pods)
        found: list[Pod] = []
        for pod in pods:
            if pod.unschedulable and pod.fault is None and placed < room:
                placed += 1
                pod = start(pod, self._startup(pod.revision), now)
            elif not pod.unschedulable and placed > room and pod.created == now and not pod.ready(now):
                placed -= 1
                pod = replace(pod, started=inf, ready_at=inf, unschedulable=UNSCHEDULABLE, changes_at=inf)
            found.append(pod)
        return tuple(found)

    def _startup(self, revision: str) -> float:
        return self.startups.get(revision, self.startup)


def steady_workload(
    replicas: int,
    revision: str,
    now: float,
    *,
    age: float = 86400.0,
    startup: float = 30.0,
    name: str = "simulated",
    kind: str = "Deployment",
) -> Workload:
    """A workload that has run one revision, for `age` seconds."""
    begun = now - age
    owner = f"{name}-{revision}" if kind == "Deployment" else name
    return Workload(
        replicas=replicas,
        template=revision,
        pods=tuple(Pod(revision, begun, f"{owner}-{n}", begun, begun) for n in range(replicas)),
        revisions=(SimulatedRevision(revision, 1, begun),),
        name=name,
        kind=kind,
        startup=startup,
        progressed=begun,
    )
