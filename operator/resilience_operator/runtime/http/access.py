"""Access control for `/metrics` and the dashboard, like controller-runtime's WithAuthenticationAndAuthorization.

A TokenReview identifies the account of a bearer token. A SubjectAccessReview checks that the account may `get` the path
(`nonResourceURLs` of a ClusterRole). Results are cached under a keyed hash of the token.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from resilience_operator.resilience import Deadline

ALLOWED_SECONDS = 60.0
"""Cache lifetime of a positive result, in seconds. A revoked token works for this long at most."""

DENIED_SECONDS = 10.0
"""Cache lifetime of a negative result, in seconds."""

MAX_CACHED = 1024
"""Maximum number of cached results."""

REVIEWS_AT_ONCE = 4
"""Maximum concurrent reviews: foreign tokens must not overload the API server."""

REVIEW_SECONDS = 5.0
"""Timeout in seconds for both reviews together."""


class Access(Enum):
    """Result of an access check, as an HTTP status code."""

    ALLOWED = 200
    UNAUTHENTICATED = 401
    FORBIDDEN = 403


class Reviewer:
    """Checks access through the API server. clock: monotonic seconds."""

    def __init__(self, kube: KubeClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._key = os.urandom(32)
        self._cache: dict[bytes, tuple[Access, float]] = {}
        self._in_flight: dict[bytes, asyncio.Task[Access]] = {}
        self._admission = asyncio.Semaphore(REVIEWS_AT_ONCE)

    async def check(self, authorization: str, path: str) -> Access:
        """Check whether the bearer of an `Authorization` header may get a path. Raises CallError if the check fails."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or not token.isascii() or not token.isprintable():
            return Access.UNAUTHENTICATED
        key = hashlib.blake2b(f"{path}\n{token}".encode(), key=self._key, digest_size=16).digest()
        cached, until = self._cache.get(key, (Access.FORBIDDEN, 0.0))
        if self._clock() < until:
            return cached
        task = self._in_flight.get(key)
        if task is None:
            task = self._in_flight[key] = asyncio.create_task(self._request(key, token, path))
            task.add_done_callback(lambda _: self._in_flight.pop(key, None))
        return await asyncio.shield(task)

    async def _request(self, key: bytes, token: str, path: str) -> Access:
        async with self._admission:
            found = await self._review(token, path, Deadline.after(REVIEW_SECONDS))
        self._cache.pop(key, None)
        self._cache[key] = found, self._clock() + (ALLOWED_SECONDS if found is Access.ALLOWED else DENIED_SECONDS)
        while len(self._cache) > MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        return found

    async def _review(self, token: str, path: str, deadline: Deadline) -> Access:
        review = {"apiVersion": TOKEN_REVIEWS.api_version, "kind": TOKEN_REVIEWS.kind, "spec": {"token": token}}
        answer = (await self._kube.create(TOKEN_REVIEWS.collection(), review, deadline=deadline)).get("status") or {}
        user: dict[str, Any] = answer.get("user") or {}
        if answer.get("authenticated") is not True or not user.get("username"):
            return Access.UNAUTHENTICATED
        access = {
            "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
            "kind": SUBJECT_ACCESS_REVIEWS.kind,
            "spec": {
                "user": user["username"],
                "uid": user.get("uid", ""),
                "groups": user.get("groups") or [],
                "extra": user.get("extra") or {},
                "nonResourceAttributes": {"path": path, "verb": "get"},
            },
        }
        answer = await self._kube.create(SUBJECT_ACCESS_REVIEWS.collection(), access, deadline=deadline)
        return Access.ALLOWED if (answer.get("status") or {}).get("allowed") is True else Access.FORBIDDEN
