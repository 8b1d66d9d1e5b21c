"""The target's state, as the API server last told it: only what deciding needs."""

from __future__ import annotations

from dataclasses import dataclass

MANAGER = "resilience-operator"
"""The field manager under which this operator writes: in `managedFields` it marks what is the operator's own."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One pod template of the target.

    name: unique among the target's: the hash in a ReplicaSet's name, a StatefulSet's ControllerRevision, or the hash
        in a DaemonSet's (`kube.revisions.revision_name`).
    owner: the name that its pods carry without their last `-suffix` (a ReplicaSet's name; the workload's own name
        for a StatefulSet or DaemonSet). Metrics are split by it.
    number: the controller's revision number, the higher the later rolled out.
    created: seconds since the epoch.
    replicas, ready: pods of this revision that exist, and that are ready.
    kept_in, uid: name and uid of the ReplicaSet or ControllerRevision that keeps the template.
    template: the digest of that template. All three are empty where a revision is not read from such an object.
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


@dataclass(frozen=True, slots=True)
class HorizontalPodAutoscaler:
    """Another autoscaler on the target.

    original_min: `minReplicas` before this operator raised it (from the annotation that it left), or None.
    owner: who manages the HPA (`KEDA`, or empty).
    """

    name: str
    resource_version: str
    min_replicas: int
    max_replicas: int
    original_min: int | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class TargetState:
    """A workload at one resourceVersion.

    replicas: what `spec.replicas` asks for. ready: ready pods of any revision.
    revision: the name of the revision that has the current template, found by comparing templates; None while there
        is none yet. So a change of anything but the template never makes it None, and while the rollout is paused
        None means that the template was changed (the controller makes no revision under a pause).
    rolled_out: the controller has seen the newest template, every pod asked for runs it and is ready, and no
        pod of another revision is left.
    paused_by: the field manager that set `spec.paused`, empty when not paused or not known.
    template_by: the field manager that last wrote the pod template, for telling people who did it.
    scaled_by: the field manager that last wrote `spec.replicas`.
    scale_path: where its `/scale` is, for a kind of which nothing else is known; else empty.
    template: the digest of its pod template; empty for such a kind.
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

    def find(self, revision: str | None) -> Revision | None:
        """The revision of that name, if it still exists."""
        for found in self.revisions:
            if found.name == revision:
                return found
        return None
