"""Kubernetes Events, as shown by `kubectl describe` and `kubectl get events`.

They use `events.k8s.io/v1` instead of core/v1: it validates its fields, has the reporting controller and instance and a
second related object, and is the version under development
(https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/). Both versions share one store, so
each client sees these events.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from resilience_operator.api.text import cut, one_line
from resilience_operator.kube.client.client import FIELD_MANAGER, KubeClient, KubeObject
from resilience_operator.kube.client.paths import EVENTS
from resilience_operator.resilience import AlreadyExists, CallError, Deadline

log = logging.getLogger(__name__)

MAX_NOTE = 1024
"""Maximum bytes of an event's message in the API."""
TRACE_ANNOTATION = "resilience-operator.io/trace-id"
TIMEOUT = 5.0
"""Maximum seconds for recording an event."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The object that an event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    def reference(self) -> KubeObject:
        reference = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
        }
        return {**reference, "uid": self.uid} if self.uid else reference


async def record(
    kube: KubeClient,
    subject: ObjectRef,
    *,
    key: str,
    type: Literal["Normal", "Warning"],
    reason: str,
    action: str,
    message: str,
    related: ObjectRef | None = None,
    trace_id: str = "",
    deadline: Deadline | None = None,
    instance: str = "",
) -> CallError | None:
    """Record an event. Returns the error, or None on success; raises only cancellation, since events are optional.

    key: determines the event's name. The same key on the same subject is recorded once, even after a crash between
        acting and recording.
    reason: why, CamelCase. action: what was done or declined, CamelCase; the API requires it.
    trace_id: stored in an annotation, unless it is empty.
    deadline: a limit below `TIMEOUT` seconds.
    instance: the reporting replica; default: POD_NAME or the host name.
    """
    deadline = deadline.within(TIMEOUT) if deadline else Deadline.after(TIMEOUT)
    body = event(
        subject,
        key=key,
        type=type,
        reason=reason,
        action=action,
        message=message,
        related=related,
        trace_id=trace_id,
        instance=instance or os.environ.get("POD_NAME") or socket.gethostname(),
        now=datetime.now(UTC),
    )
    try:
        await kube.create(EVENTS.collection(subject.namespace), body, deadline=deadline)
    except AlreadyExists:
        return None
    except CallError as error:
        log.warning("event %s on %s %s/%s: %s", reason, subject.kind, subject.namespace, subject.name, error)
        return error
    return None


def event(
    subject: ObjectRef,
    *,
    key: str,
    type: str,
    reason: str,
    action: str,
    message: str,
    instance: str,
    now: datetime,
    related: ObjectRef | None = None,
    trace_id: str = "",
) -> KubeObject:
    """The Event object. now: the wall clock, in UTC."""
    body: KubeObject = {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": event_name(subject, key), "namespace": subject.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": FIELD_MANAGER,
        "reportingInstance": instance[:128],
        "type": type,
        "reason": reason[:128],
        "action": action[:128],
        "note": cut(one_line(message), MAX_NOTE),
        "regarding": subject.reference(),
    }
    if trace_id:
        body["metadata"]["annotations"] = {TRACE_ANNOTATION: trace_id}
    if related is not None:
        body["related"] = related.reference()
    return body


def event_name(subject: ObjectRef, key: str) -> str:
    """The event's name, a function of subject and key: a DNS subdomain of at most 253 characters."""
    identity = "\0".join((subject.kind, subject.namespace, subject.name, subject.uid, key))
    digest = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
    return f"{subject.name[:230].rstrip('-.')}.{digest}"
