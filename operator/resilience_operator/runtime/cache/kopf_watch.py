"""kopf's part: watching policies. The handler writes nothing and returns None, so kopf leaves no trace on them.

kopf never retries an event handler, so this one is total; and after a 410 it does not tell what was deleted in the
gap, so a full list sweeps behind it every few minutes (`runtime.app`).
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
"""Event type (None for what was there at the start) and the object."""


def registry(
    on_policy: OnPolicy, on_unreadable: OnUnreadable, kubeconfig: Path | None, on_started: Callable[[], None]
) -> kopf.OperatorRegistry:
    """A registry with the one handler there is, and the login.

    on_unreadable: called with a policy that is there, new or changed, and cannot be read.
    on_started: called when kopf has taken the process' signals, to take them back: it would spend 5 s on ending first.
    """
    found = kopf.OperatorRegistry()

    @kopf.on.startup(registry=found)
    async def started(**_: Any) -> None:
        # Kopf takes the signals right after this handler's turn.
        asyncio.get_running_loop().call_soon(on_started)

    # A coroutine, though it awaits nothing: kopf runs plain functions in other threads.
    @kopf.on.event(GROUP, VERSION, PLURAL, registry=found)
    async def policy_changed(type: str | None, body: kopf.Body, **_: Any) -> None:
        try:
            on_policy(type, body)
        except Exception:
            log.exception("an event of a policy was not understood; the next full list mends it")

    # A coroutine, since the session belongs to the event loop.
    @kopf.on.login(registry=found)
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        credentials = _credentials(kubeconfig, **kwargs)
        return session(credentials, on_unreadable) if credentials is not None else None

    return found


def _credentials(kubeconfig: Path | None, **kwargs: Any) -> kopf.ConnectionInfo | None:
    if kubeconfig is not None:
        # kopf reads the file that this variable names, and has no argument for it.
        os.environ["KUBECONFIG"] = str(kubeconfig)
        return kopf.login_with_kubeconfig(**kwargs)
    return _as_the_pod(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _as_the_pod(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account, at the address that the kubelet tells, as every other client has it.

    kopf itself would ask for `kubernetes.default.svc`, and so stand still while names cannot be resolved.
    """
    found = kopf.login_with_service_account(**kwargs)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if found is None or not host:
        return found
    return replace(found, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")


def settings() -> kopf.OperatorSettings:
    """Kopf as it is needed here: it watches, and does nothing else."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.scanning.disabled = True
    found.peering.standalone = True
    found.persistence.diffbase_storage = NullDiffBaseStorage()
    found.persistence.progress_storage = NullProgressStorage()
    # Ten thousand policies at once take hundreds of megabytes, most of which would never be given back.
    found.watching.chunk_size = PAGE
    found.watching.server_timeout = 300
    found.watching.connect_timeout = 5
    found.networking.request_timeout = 30
    # Between two lists, should a watch end at once with an error each time.
    found.watching.reconnect_backoff = 1.0
    # A list or watch that keeps failing beyond these would stop kopf: an API server may be away for long.
    found.networking.error_backoffs = [0.1, 0.5, 1, 2, 3, 5, 8, 13, *[15] * 10_000]
    found.queueing.worker_limit = None
    # What handles an object's events ends soon after them: thousands that linger take memory.
    found.queueing.idle_timeout = 0.1
    return found
