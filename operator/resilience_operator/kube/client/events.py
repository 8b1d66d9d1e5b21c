"""Events: what happened, for `kubectl describe` and `kubectl get events`.

`events.k8s.io/v1` rather than core/v1: the API server checks its fields, it knows who reports (controller and
instance) and a second object that the event is about, and it is the one under development
(https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/). Both are one store, so every
client sees these.
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
"""Bytes of an event's message that the API accepts."""
TRACE_ANNOTATION = "resilience-operator.io/trace-id"
TIMEOUT = 5.0
"""Seconds that recording may take."""


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
    """Records an event; None, or why it is not there now. Never raises but for cancellation: an event is not needed.

    key: makes the event's name, so that the same key on the same subject is one event, however often it is
        recorded (after a crash between acting and recording, for instance).
    reason: why, CamelCase. action: what was done or declined, CamelCase; the API requires it.
    trace_id: stands in an annotation, where it is given.
    deadline: bounds it further than `TIMEOUT` seconds.
    instance: who of several replicas; by default the host's name.
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
    """The same name for the same subject and key; a DNS subdomain of 253 characters at most."""
    identity = "\0".join((subject.kind, subject.namespace, subject.name, subject.uid, key))
    digest = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
    return f"{subject.name[:230].rstrip('-.')}.{digest}"
