"""Ending the pods of a real node before what runs them ends: nothing of theirs may be left on the machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from tests.cluster.httpclient import Http
from tests.cluster.layout import Layout
from tests.cluster.realnode import socket

PATIENCE = 60.0


def drain(http: Http, server: str, layout: Layout, say: Callable[[str], None]) -> None:
    """Delete all pods, and return when none of their processes is left; one that outlasts the patience is killed.

    The controllers must have been stopped before, and the kubelet must run.
    """
    deadline = time.monotonic() + PATIENCE
    try:
        for pod in http.get(f"{server}/api/v1/pods")["items"]:
            meta = pod["metadata"]
            http.delete(f"{server}/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}?gracePeriodSeconds=1")
    except OSError as error:
        say(f"the API server does not answer ({error}); the containers are killed")
        deadline = time.monotonic()
    while (left := _ctr(layout, "tasks", "list", "--quiet").split()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for container in left:
        _ctr(layout, "tasks", "kill", "--all", "--signal", "SIGKILL", container)
        _ctr(layout, "tasks", "delete", "--force", container)
    # The kubelet would collect what has ended within a minute.
    for container in _ctr(layout, "containers", "list", "--quiet").split():
        _ctr(layout, "containers", "delete", container)


def _ctr(layout: Layout, *arguments: str) -> str:
    command = ["ctr", "--address", str(socket(layout)), "--namespace", "k8s.io", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30).stdout
