"""Who we are, as the API server knows us (SelfSubjectReview, authentication.k8s.io/v1, from Kubernetes 1.28 on)."""

from __future__ import annotations

from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import SELF_REVIEWS
from resilience_operator.resilience import Deadline


async def whoami(kube: KubeClient, *, deadline: Deadline) -> str:
    """The user's name; empty where the API server does not tell. Everybody who is logged in may ask."""
    body = {"apiVersion": SELF_REVIEWS.api_version, "kind": SELF_REVIEWS.kind}
    answer = await kube.create(SELF_REVIEWS.collection(), body, deadline=deadline)
    return str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "")
