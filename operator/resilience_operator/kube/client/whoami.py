"""The user name of this process at the API server (SelfSubjectReview, authentication.k8s.io/v1, Kubernetes 1.28+)."""

from __future__ import annotations

from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import SELF_REVIEWS
from resilience_operator.resilience import Deadline


async def whoami(kube: KubeClient, *, deadline: Deadline) -> str:
    """The user's name; empty if the API server does not return it. Each authenticated user may call this."""
    body = {"apiVersion": SELF_REVIEWS.api_version, "kind": SELF_REVIEWS.kind}
    answer = await kube.create(SELF_REVIEWS.collection(), body, deadline=deadline)
    return str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "")
