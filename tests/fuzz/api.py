"""The API server by raw requests, since no client library writes or reads what the fuzz run sends."""

from __future__ import annotations

import http.client
import ssl
import tempfile
import urllib.parse
from base64 import b64decode
from pathlib import Path
from typing import Any

import yaml

NO_ANSWER = 599


class Api:
    """One connection as the administrator of a kubeconfig. Not for several threads."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        address = urllib.parse.urlsplit(cluster["server"])
        self._host, self._port = str(address.hostname), address.port
        self._context = ssl.create_default_context(cafile=cluster.get("certificate-authority"))
        if "certificate-authority-data" in cluster:
            self._context.load_verify_locations(cadata=b64decode(cluster["certificate-authority-data"]).decode())
        certificate, key = _file(user, "client-certificate"), _file(user, "client-key")
        self._context.load_cert_chain(certificate, key)
        self._connection: http.client.HTTPSConnection | None = None

    def call(self, method: str, path: str, body: str = "", kind: str = "application/json") -> tuple[int, bytes]:
        """Status and the body's first 500 bytes. NO_ANSWER: the server panicked over it, twice."""
        for _ in range(2):
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, context=self._context, timeout=60
                )
            try:
                self._connection.request(
                    method, "/" + path, body.encode() if body else None, {"Content-Type": kind} if body else {}
                )
                answer = self._connection.getresponse()
                return answer.status, answer.read()[:500]
            except (OSError, http.client.HTTPException):
                self.close()
        return NO_ANSWER, b"the connection was closed without an answer"

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _file(user: dict[str, Any], name: str) -> str:
    """The path of a credential that may be embedded."""
    if name in user:
        return str(user[name])
    with tempfile.NamedTemporaryFile(delete=False, suffix=".pem") as found:
        found.write(b64decode(user[f"{name}-data"]))
    return found.name
