"""kopf setup: watches policies. The handler writes nothing and returns None, so kopf leaves no annotations.

kopf never retries an event handler, so this handler must not raise. After a 410, kopf does not report what was deleted
in the gap. A periodic full list (`runtime.app`) finds these deletions.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import kopf

from resilience_operator.api.v1alpha1 import GROUP, PLURAL, VERSION
from resilience_operator.kube.client.client import PAGE
from resilience_operator.runtime.cache.kopf_null_storage import NullDiffBaseStorage, NullProgressStorage
from resilience_operator.runtime.cache.kopf_session import OnUnreadable, session

log = logging.getLogger(__name__)

OnPolicy = Callable[[str | None, Mapping[str, Any]], None]
"""Called with the event type (None for the initial list) and the object."""


def registry(
    on_policy: OnPolicy, on_unreadable: OnUnreadable, kubeconfig: Path | None, on_started: Callable[[], None]
) -> kopf.OperatorRegistry:
    """Build a kopf registry with the one event handler and the login handler.

    on_unreadable: called with each new or changed policy that cannot be decoded.
    on_started: called when kopf has installed its signal handlers, to replace them: kopf needs 5 s to stop.
    """
    found = kopf.OperatorRegistry()

    @kopf.on.startup(registry=found)
    async def started(**_: Any) -> None:
        # kopf installs its signal handlers right after this handler.
        asyncio.get_running_loop().call_soon(on_started)

    # A coroutine although it awaits nothing: kopf runs plain functions in other threads.
    @kopf.on.event(GROUP, VERSION, PLURAL, registry=found)
    async def policy_changed(type: str | None, body: kopf.Body, **_: Any) -> None:
        try:
            on_policy(type, body)
        except Exception:
            log.exception("failed to handle a policy event; the next full list recovers it")

    # A coroutine, because the session belongs to the event loop.
    @kopf.on.login(registry=found)
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        credentials = _credentials(kubeconfig, **kwargs)
        return session(credentials, on_unreadable) if credentials is not None else None

    return found


def _credentials(kubeconfig: Path | None, **kwargs: Any) -> kopf.ConnectionInfo | None:
    if kubeconfig is not None:
        # kopf reads the file named by this variable, and has no argument for it.
        os.environ["KUBECONFIG"] = str(kubeconfig)
        return kopf.login_with_kubeconfig(**kwargs)
    return _as_the_pod(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _as_the_pod(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Log in as the pod's service account, at the API server address from the environment like every other client.

    kopf itself would connect to `kubernetes.default.svc`, which fails while DNS is down.
    """
    found = kopf.login_with_service_account(**kwargs)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if found is None or not host:
        return found
    return replace(found, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")


def settings() -> kopf.OperatorSettings:
    """Return kopf settings for a process that only watches."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.scanning.disabled = True
    found.peering.standalone = True
    found.persistence.diffbase_storage = NullDiffBaseStorage()
    found.persistence.progress_storage = NullProgressStorage()
    # 10,000 policies in one batch take hundreds of megabytes, most of which Python never returns.
    found.watching.chunk_size = PAGE
    found.watching.server_timeout = 300
    found.watching.connect_timeout = 5
    found.networking.request_timeout = 30
    # Delay between two lists if a watch keeps failing at once.
    found.watching.reconnect_backoff = 1.0
    # Retry limits after which kopf would stop: the API server may be away for a long time.
    found.networking.error_backoffs = [0.1, 0.5, 1, 2, 3, 5, 8, 13, *[15] * 10_000]
    found.queueing.worker_limit = None
    # End idle per-object workers soon: thousands of them take memory.
    found.queueing.idle_timeout = 0.1
    return found
