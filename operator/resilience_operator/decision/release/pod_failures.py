"""Why a pod does not serve: one pod at a time, from its state as the API shows it.

The reasons are the kubelet's (pkg/kubelet/images/types.go, pkg/kubelet/container/sync_result.go) and the scheduler's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from resilience_operator.decision.model.target import Pod


class Cause(StrEnum):
    """Why a pod does not serve."""

    CRASHING = "crashing"
    IMAGE = "image"
    CONFIGURATION = "configuration"
    UNSCHEDULABLE = "unschedulable"
    NOT_READY = "not-ready"
    FLAPPING = "flapping"


class PodFailure(NamedTuple):
    """A pod that does not serve.

    reason: in the API's words, like `CrashLoopBackOff`. detail: the message that came with it, or empty.
    since: when it began, in seconds since the epoch, or None if the API does not say so.
    hold: seconds it must last before it counts against a release. None: until half the progress deadline.
    """

    pod: Pod
    cause: Cause
    reason: str
    detail: str
    since: float | None
    hold: float | None


IMAGE_REASONS = frozenset(
    ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
     "RegistryUnavailable", "SignatureValidationFailed")
)  # fmt: skip
CONFIGURATION_REASONS = frozenset(
    ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError", "PreCreateHookError",
     "PreStartHookError", "PostStartHookError", "ResizeError")
)  # fmt: skip
CRASH_LOOP = "CrashLoopBackOff"

CRASHES = 2
"""Restarts from which a container is in a crash loop. The first restart may wait for a dependency."""

CRASH_WINDOW = 360.0
"""Seconds for which a crash counts. A kubelet waits at most 300 s before it starts a crashed container again."""

CRASH_INTERVAL = 600.0
"""Seconds between crashes, on average, above which a container is not in a crash loop. A kubelet resets its back-off
for a container that ran that long."""

UNREADY_COUNT = 3
"""Losses of readiness from which a pod is flapping."""

RETRIED = 60.0
"""Seconds that an error must last which the kubelet retries and which may end by itself: a Secret that is applied a
moment later, an unclear answer of a registry."""

UNSCHEDULED = 60.0
"""Seconds for which an unschedulable pod is not reported: a cluster autoscaler may add a node, or old pods end."""

_PERMANENT = ("not found", "manifest unknown", "does not exist", "no match for platform", "invalid reference", "denied")
"""Words of a registry that no retry changes."""

_TEMPORARY = (
    "timeout", "timed out", "deadline exceeded", "connection refused", "connection reset", "no such host", "no route",
    "network is unreachable", "unavailable", "toomanyrequests", "too many requests", "bad gateway", "tls", "x509",
    "eof", "server error",
)  # fmt: skip
"""Words of a registry that cannot be reached: an outage, and not the release's fault."""

_ENVIRONMENT = ("exceeded quota", "failed calling webhook", "timeout", "timed out", "internal error", "unavailable")
"""Words of an API server that refuses pods of any revision."""


def failure_of(pod: Pod, now: float) -> PodFailure | None:
    """Return why a pod does not serve, or None if it serves, is starting or is being deleted."""
    if pod.terminating:
        return None
    if pod.waiting in IMAGE_REASONS:
        hold = _hold_of_image_error(f"{pod.waiting} {pod.message}".lower())
        return PodFailure(pod, Cause.IMAGE, pod.waiting, pod.message, None, hold)
    if pod.waiting in CONFIGURATION_REASONS:
        return PodFailure(pod, Cause.CONFIGURATION, pod.waiting, pod.message, None, RETRIED)
    if _crashes(pod, now):
        reason = pod.last_terminated if pod.last_terminated == "OOMKilled" else pod.waiting or pod.last_terminated
        detail = pod.message if pod.message and pod.waiting == CRASH_LOOP else ""
        hold = 0.0 if pod.restarts >= CRASHES else None
        return PodFailure(pod, Cause.CRASHING, reason or CRASH_LOOP, detail, pod.last_terminated_at, hold)
    if pod.unready_count >= UNREADY_COUNT:
        detail = f"lost readiness {pod.unready_count} times"
        return PodFailure(pod, Cause.FLAPPING, "ReadinessFlapping", detail, None, 0.0)
    if pod.ready:
        return None
    if pod.unschedulable:
        return PodFailure(pod, Cause.UNSCHEDULABLE, "Unschedulable", pod.unschedulable, pod.created, None)
    detail = "was ready before" if pod.started_serving is not None else "never was ready"
    return PodFailure(pod, Cause.NOT_READY, "NotReady", detail, pod.unready_since or pod.created, None)


def _crashes(pod: Pod, now: float) -> bool:
    if pod.waiting == CRASH_LOOP:
        return True
    ended = pod.last_terminated_at
    if pod.restarts < CRASHES or ended is None or now - ended >= CRASH_WINDOW:
        return False
    return now - pod.created < pod.restarts * CRASH_INTERVAL


def _hold_of_image_error(text: str) -> float | None:
    if any(words in text for words in _TEMPORARY):
        return None
    if "invalidimagename" in text or "errimageneverpull" in text or any(words in text for words in _PERMANENT):
        return 0.0
    return RETRIED


def refuses_any_revision(message: str) -> bool:
    """Whether the API server refuses pods of any template: a quota is exceeded, or a webhook is down."""
    text = message.lower()
    return any(words in text for words in _ENVIRONMENT)


def is_reported(failure: PodFailure, now: float, patience: float) -> bool:
    """Whether a failure is worth a report yet. patience: seconds after which a pod that is not ready is one."""
    if failure.cause is Cause.UNSCHEDULABLE:
        return now - failure.pod.created >= UNSCHEDULED
    if failure.cause is Cause.NOT_READY:
        return failure.since is not None and now - failure.since >= patience
    return True


def describe_failures(failures: list[PodFailure], total: int) -> str:
    """Describe failing pods: `2 of 3 pods: CrashLoopBackOff (5 restarts): back-off 40s`. The most frequent reason."""
    reasons = [f.reason for f in failures]
    reason = max(sorted(set(reasons)), key=reasons.count)
    shown = next(f for f in failures if f.reason == reason)
    restarts = max(f.pod.restarts for f in failures)
    more = f" ({restarts} restarts)" if restarts and shown.cause is Cause.CRASHING else ""
    detail = f": {shown.detail}" if shown.detail else ""
    others = sorted({r for r in reasons if r != reason})
    also = f"; also {', '.join(others)}" if others else ""
    pods = "pod" if total == 1 else "pods"
    return f"{len(failures)} of {total} {pods}: {reason}{more}{detail}{also}"
