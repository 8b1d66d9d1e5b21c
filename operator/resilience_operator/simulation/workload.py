"""A workload that exists only in memory: it starts pods, rolls out and obeys commands, as a Deployment does.

For `engine.simulate`, so that a policy can be tried on a scenario without a cluster. Every change makes a new
value. Rolling updates go by the Deployment's defaults, `maxSurge` and `maxUnavailable` of 25 %
(kubernetes.io, Deployments, rolling update strategy).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor, inf

from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.target import MANAGER, HorizontalPodAutoscaler, Revision, TargetState

SHARE = 0.25
"""Of the replicas that may be there in addition, or may be missing, during a rolling update."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod: its revision, and when it is ready (seconds since the epoch, infinity for never)."""

    revision: str
    ready_at: float


@dataclass(frozen=True, slots=True)
class SimulatedRevision:
    """A revision that the workload has had: its number, and when it was made."""

    name: str
    number: int
    created: float


@dataclass(frozen=True, slots=True)
class Workload:
    """The simulated workload.

    template: the revision that its template makes. startup: seconds from a pod's start to its being ready.
    broken: revisions whose pods never become ready. deadline: `progressDeadlineSeconds`. progressed: when the rollout
    last made progress. The managers are those of `TargetState`.
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
    template_by: str = ""
    scaled_by: str = ""
    startup: float = 30.0
    broken: frozenset[str] = frozenset()
    deadline: float = 600.0
    progressed: float = 0.0
    version: int = 1
    hpa: HorizontalPodAutoscaler | None = None

    def state(self, now: float) -> TargetState:
        """What the API server would tell of it."""
        counts = {k.name: [0, 0] for k in self.revisions}
        for pod in self.pods:
            counts[pod.revision][0] += 1
            counts[pod.revision][1] += pod.ready_at <= now
        made = self.template in counts
        updated, updated_ready = counts.get(self.template, (0, 0))
        return TargetState(
            kind=self.kind,
            namespace=self.namespace,
            name=self.name,
            uid=f"{self.namespace}/{self.name}",
            resource_version=str(self.version),
            replicas=self.replicas,
            ready=sum(ready for _, ready in counts.values()),
            rolled_out=made and updated == updated_ready == len(self.pods) == self.replicas,
            revision=self.template if made else None,
            revisions=tuple(
                Revision(k.name, f"{self.name}-{k.name}", k.number, k.created, counts[k.name][0], counts[k.name][1])
                for k in self.revisions
            ),
            paused=self.paused,
            paused_by=self.paused_by,
            template_by=self.template_by,
            scaled_by=self.scaled_by,
            progress_deadline_exceeded=(
                not self.paused and updated_ready < self.replicas and now - self.progressed >= self.deadline
            ),
            hpa=self.hpa,
        )

    def release(self, revision: str, by: str, now: float) -> Workload:
        """With another template, applied by the field manager `by`."""
        if revision == self.template:
            return self
        return replace(self, template=revision, template_by=by, version=self.version + 1).advance(now)

    def scale(self, replicas: int, by: str, now: float) -> Workload:
        """With other replicas, set by the field manager `by`."""
        return replace(self, replicas=replicas, scaled_by=by, version=self.version + 1).advance(now)

    def pause(self, by: str) -> Workload:
        """With its rollout paused by the field manager `by`."""
        return replace(self, paused=True, paused_by=by, version=self.version + 1)

    def resume(self, now: float) -> Workload:
        """With its rollout going on."""
        return replace(self, paused=False, paused_by="", progressed=now, version=self.version + 1).advance(now)

    def apply(self, command: Command, now: float) -> Workload:
        """After one of the operator's commands."""
        match command.verb:
            case Verb.SCALE_UP | Verb.SCALE_DOWN if command.via and self.hpa is not None:
                to = int(command.to or 0)
                original = self.hpa.raised_from if self.hpa.raised_from is not None else self.hpa.min_replicas
                hpa = replace(
                    self.hpa, min_replicas=to, original_min=None if to == original else original, min_by=MANAGER
                )
                raised = replace(self, hpa=hpa, version=self.version + 1)
                return raised if self.replicas >= to else raised.scale(to, "horizontal-pod-autoscaler", now)
            case Verb.SCALE_UP | Verb.SCALE_DOWN:
                return self.scale(int(command.to or 0), MANAGER, now)
            case Verb.ADOPT_MINIMUM if self.hpa is not None:
                return replace(self, hpa=replace(self.hpa, original_min=None), version=self.version + 1)
            case Verb.PAUSE:
                return self.pause(MANAGER)
            case Verb.RESUME:
                return self.resume(now)
            case Verb.ROLLBACK:
                restored = replace(self, template=str(command.to), template_by=MANAGER, progressed=now)
                return restored.resume(now)
            case _:
                return self

    def advance(self, now: float) -> Workload:
        """As its controller leaves it at `now`; the same object when there is nothing to do."""
        found = self
        if not self.paused and all(k.name != self.template for k in self.revisions):
            number = max((k.number for k in self.revisions), default=0) + 1
            found = replace(
                found, revisions=(*self.revisions, SimulatedRevision(self.template, number, now)), progressed=now
            )
        pods = found._sized(now) if self.paused else found._rolled(now)
        if pods == self.pods:
            return found
        return replace(found, pods=pods, progressed=now)

    def _sized(self, now: float) -> tuple[Pod, ...]:
        """A paused rollout only changes its size: the larger revision grows, the youngest pods go first."""
        pods = sorted(self.pods, key=lambda p: p.ready_at)[: self.replicas]
        if len(pods) == self.replicas:
            return self.pods if len(self.pods) == self.replicas else tuple(pods)
        names = [p.revision for p in pods]
        grows = max(names, key=names.count) if names else self.template
        return tuple(pods) + self._fresh(grows, self.replicas - len(pods), now)

    def _rolled(self, now: float) -> tuple[Pod, ...]:
        new = [p for p in self.pods if p.revision == self.template]
        old = [p for p in self.pods if p.revision != self.template]
        if not old:
            if len(new) == self.replicas:
                return self.pods
            kept = tuple(sorted(new, key=lambda p: p.ready_at)[: self.replicas])
            return kept + self._fresh(self.template, self.replicas - len(kept), now)
        room = self.replicas + ceil(SHARE * self.replicas) - len(self.pods)
        started = self._fresh(self.template, max(0, min(self.replicas - len(new), room)), now)
        least = self.replicas - floor(SHARE * self.replicas)
        spare = sum(p.ready_at <= now for p in self.pods) - least
        remaining: list[Pod] = []
        for pod in old:
            if pod.ready_at > now:
                continue
            if spare > 0:
                spare -= 1
            else:
                remaining.append(pod)
        return (*remaining, *new, *started)

    def _fresh(self, revision: str, count: int, now: float) -> tuple[Pod, ...]:
        ready_at = inf if revision in self.broken else now + self.startup
        return (Pod(revision, ready_at),) * count


def steady_workload(
    replicas: int, revision: str, now: float, *, age: float = 86400.0, startup: float = 30.0
) -> Workload:
    """A workload that has run one revision, for `age` seconds."""
    return Workload(
        replicas=replicas,
        template=revision,
        pods=(Pod(revision, now - age),) * replicas,
        revisions=(SimulatedRevision(revision, 1, now - age),),
        startup=startup,
        progressed=now - age,
    )
