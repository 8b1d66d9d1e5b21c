"""The target's state as last read from the API server, reduced to what the decision needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from resilience_operator.decision.configuration.names import Restored
from resilience_operator.decision.model.configuration import Configuration

MANAGER = "resilience-operator"
"""The field manager of this operator: in `managedFields` it marks the operator's own changes."""

DEFAULT_PROGRESS_DEADLINE = 600.0
"""Seconds. The default of a Deployment's `progressDeadlineSeconds`; used for the kinds that have none."""


class DeliveredBy(NamedTuple):
    """What applies the target from git or a chart. kind: Application, Kustomization, HelmRelease or `Helm release`."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class SourceState(NamedTuple):
    """What version of its source the object that applies the target has tried to apply.

    identity: changes with each new version; empty if that object does not exist any more. settled: all of that version
    has been applied, so a target that it does not skip has its template.
    """

    identity: str
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Revision:
    """One pod template of the target.

    name: unique within the target: the hash in a ReplicaSet's name, a StatefulSet's ControllerRevision, or the hash
        in a DaemonSet's (`kube.cache.revisions.revision_name`).
    owner: the names of its pods without the last `-suffix` (a ReplicaSet's name; the workload's own name for a
        StatefulSet or DaemonSet). Metrics are split by it.
    number: the controller's revision number; later rollouts have higher numbers.
    created: seconds since the epoch.
    replicas, ready: pods of this revision that exist, and that are ready.
    kept_in, uid: name and uid of the ReplicaSet or ControllerRevision that stores the template.
    template: the digest of that template. All three are empty if the revision is not read from such an object.
    restored: of which template it is a copy whose pods were restarted to read restored configuration, or None.
    """

    name: str
    owner: str
    number: int
    created: float
    replicas: int
    ready: int
    kept_in: str = ""
    uid: str = ""
    template: str = ""
    restored: Restored | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of the target, as last listed. Times are seconds since the epoch.

    revision: the name of its revision (`Revision.name`); empty if unknown.
    ready_at: when it last became ready; None if it is not ready.
    unready_since: when it last became not ready; None if it is ready or unknown.
    started_serving: when it was first seen ready; None if it never was. A pod that is not ready and has this time
        served before.
    waiting, message: why a container does not run (`CrashLoopBackOff`, `ImagePullBackOff`), and the kubelet's words.
    restarts: of the container that restarted most.
    unready_count: how often it was seen to lose readiness, by this process.
    last_terminated, last_terminated_at: why and when a container last ended (`OOMKilled`, `Error`).
    unschedulable: the scheduler's words if it found no node; else empty.
    node: where it runs; empty if it is not scheduled.
    """

    name: str
    revision: str
    created: float
    ready: bool
    ready_at: float | None = None
    started_serving: float | None = None
    waiting: str = ""
    message: str = ""
    restarts: int = 0
    last_terminated: str = ""
    last_terminated_at: float | None = None
    unschedulable: str = ""
    terminating: bool = False
    node: str = ""
    unready_count: int = 0
    unready_since: float | None = None


@dataclass(frozen=True, slots=True)
class HorizontalPodAutoscaler:
    """The HPA of the target.

    original_min: `minReplicas` before this operator raised it (from its annotation), or None. It is out of date if
        another manager has set `minReplicas` since.
    min_by: the field manager that last wrote `minReplicas`; empty if unknown.
    owner: who manages the HPA (`KEDA`, or empty). scaled_object: the name of KEDA's ScaledObject, or empty.
    """

    name: str
    resource_version: str
    min_replicas: int
    max_replicas: int
    original_min: int | None = None
    owner: str = ""
    min_by: str = ""
    scaled_object: str = ""

    @property
    def raised_from(self) -> int | None:
        """The `minReplicas` to return to: None if the operator did not raise it, or another manager set it since."""
        return self.original_min if self.min_by in ("", MANAGER) else None


@dataclass(frozen=True, slots=True)
class TargetState:
    """A workload at one resourceVersion.

    replicas: `spec.replicas`. ready: ready pods of any revision.
    revision: the name of the revision with the current template, found by comparing templates; None if there is none
        yet. Only a template change makes it None. During a pause None means that the template was changed, because
        the controller creates no revision while paused.
    rolled_out: the controller has observed the newest template, all requested pods run it and are ready, and no pods
        of other revisions remain.
    paused_by: the field manager that set `spec.paused`; empty if not paused or unknown.
    pause_marked: the annotation that the operator sets with its pause exists. `kubectl rollout resume` and edits leave
        it. It is gone if the whole object was replaced.
    resumed_by: the field manager that set `spec.paused` to false, if that is recorded: the API server records no
        manager for a field that is removed, as `kubectl rollout resume` does.
    template_by: the field manager that last wrote the pod template.
    scaled_by: the field manager that last wrote `spec.replicas`.
    scale_path: the path of `/scale`, for a kind known only by its scale subresource; else empty.
    pod_owners: for such a kind, the owners of the pods that its selector finds (as `Revision.owner`); else empty.
    template: the digest of the pod template; empty for such a kind.
    pods: None while they are not listed. They are listed only while a release is watched or pods are missing.
    create_failure: why the controller cannot create pods, in the API server's words (quota, admission); else empty.
    progress_deadline: seconds within which a rollout must make progress.
    replaces_all: a rollout may leave no pod ready for a while, as `strategy: Recreate` does.
    min_ready_seconds: seconds for which a pod must be ready to count as available.
    delivered_by: what applies it from git or a chart, or None.
    configuration: what its template reads; None if the policy does not include configuration.
    hold_marked: the annotation exists with which the operator marks that it suspended the target's reconciliation.
    reconcile_disabled: it has the annotation or label with which somebody suspends its reconciliation.
    committed: when the commit of its template was made, from an annotation; None if there is none.
    source: None while it is not read. It is read only while `hold_marked`.
    can_pause: its update strategy lets a rollout be paused (a StatefulSet's `OnDelete` does not).
    """

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    replicas: int
    ready: int
    rolled_out: bool
    revision: str | None
    revisions: tuple[Revision, ...] = ()
    paused: bool = False
    paused_by: str = ""
    template_by: str = ""
    scaled_by: str = ""
    progress_deadline_exceeded: bool = False
    hpa: HorizontalPodAutoscaler | None = None
    api_version: str = "apps/v1"
    scale_path: str = ""
    template: str = ""
    pods: tuple[Pod, ...] | None = None
    create_failure: str = ""
    pause_marked: bool = False
    resumed_by: str = ""
    progress_deadline: float = DEFAULT_PROGRESS_DEADLINE
    min_ready_seconds: float = 0.0
    replaces_all: bool = False
    can_pause: bool = True
    delivered_by: DeliveredBy | None = None
    pod_owners: tuple[str, ...] = ()
    configuration: Configuration | None = None
    hold_marked: bool = False
    reconcile_disabled: bool = False
    source: SourceState | None = None
    committed: float | None = None

    def find(self, revision: str | None) -> Revision | None:
        """Return the revision with that name, if it still exists."""
        for found in self.revisions:
            if found.name == revision:
                return found
        return None
