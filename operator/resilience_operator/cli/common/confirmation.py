"""Annotations that a person sets with a command: who it is, and whether an operator has observed them."""

from __future__ import annotations

import asyncio
import getpass
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from resilience_operator.cli.common.cluster import deadline, read_policy
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.whoami import whoami
from resilience_operator.resilience import CallError

OBSERVED_WITHIN = 10.0
"""Seconds for the operator to observe a change; after that a message says that none did."""

NOT_CONFIRMED = "no operator has confirmed it yet: check that one is running and watches this namespace"


async def current_user(kube: KubeClient) -> str:
    """The user name at the API server; otherwise the local user name."""
    try:
        return await whoami(kube, deadline=deadline()) or getpass.getuser()
    except (CallError, OSError, KeyError):
        return "somebody"


async def await_observed(kube: KubeClient, namespace: str, name: str, so: Callable[[dict[str, Any]], bool]) -> bool:
    """Wait until the policy shows that the operator observed it. Errors are ignored: the change itself was made."""
    ends = time.monotonic() + OBSERVED_WITHIN
    while time.monotonic() < ends:
        with suppress(CallError):
            if so(await read_policy(kube, namespace, name)):
                return True
        await asyncio.sleep(0.25)
    return False
