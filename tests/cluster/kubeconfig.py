"""Kubeconfig files, with the credentials inside them, so that one file is all that a client needs."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

CONTEXT = "resilience-local"


def kubeconfig_text(
    server: str,
    ca: bytes,
    *,
    token: str | None = None,
    client_cert: bytes | None = None,
    client_key: bytes | None = None,
    user: str = "user",
    namespace: str = "default",
) -> str:
    """Return the YAML for one server and one identity: a bearer token, or a client certificate and its key (PEM)."""
    if (token is None) == (client_cert is None) or (client_cert is None) != (client_key is None):
        raise ValueError("give either a token, or a client certificate with its key")
    if token is not None:
        identity = {"token": token}
    else:
        assert client_cert is not None
        assert client_key is not None
        identity = {"client-certificate-data": _data(client_cert), "client-key-data": _data(client_key)}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": CONTEXT, "cluster": {"server": server, "certificate-authority-data": _data(ca)}},
            ],
            "users": [{"name": user, "user": identity}],
            "contexts": [
                {"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user, "namespace": namespace}},
            ],
            "current-context": CONTEXT,
        },
        sort_keys=False,
    )


def write_kubeconfig(
    path: Path,
    server: str,
    ca: Path | bytes,
    *,
    token: str | None = None,
    client_cert: Path | bytes | None = None,
    client_key: Path | bytes | None = None,
    user: str = "user",
    namespace: str = "default",
) -> Path:
    """Write a kubeconfig that only its owner can read, in one step; certificates as PEM bytes or as files."""
    text = kubeconfig_text(
        server,
        _pem(ca),
        token=token,
        client_cert=None if client_cert is None else _pem(client_cert),
        client_key=None if client_key is None else _pem(client_key),
        user=user,
        namespace=namespace,
    )
    return write_private(path, text.encode())


def write_private(path: Path, content: bytes) -> Path:
    """Replace a file by one of mode 0600; it is never there half-written, nor readable by others for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
    return path


def _pem(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
