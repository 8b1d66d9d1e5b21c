"""Credentials from mounted files, reloaded when the files change. No object here prints a secret."""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr
from requests.auth import AuthBase, _basic_auth_str
from requests.utils import check_header_validity

from resilience_operator.resilience.errors import GiveUp

SHORTEST_SECRET = 6
"""Characters. Shorter values are not redacted, since ordinary words would be removed from messages."""

_MAX_FORMER_SECRETS = 64
"""Number of former secrets that are still redacted."""

Fingerprint = tuple[tuple[int, int, int] | None, ...]
"""For each file: inode, size, modification time in ns; None if it cannot be read."""


class CredentialFiles(Protocol):
    """The credential files of one dependency; None for kinds that are not configured."""

    @property
    def name(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, SecretStr]: ...
    @property
    def header_files(self) -> Mapping[str, Path]: ...
    @property
    def bearer_token_file(self) -> Path | None: ...
    @property
    def username_file(self) -> Path | None: ...
    @property
    def password_file(self) -> Path | None: ...
    @property
    def ca_file(self) -> Path | None: ...
    @property
    def cert_file(self) -> Path | None: ...
    @property
    def key_file(self) -> Path | None: ...


_CREDENTIAL_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})


def check_encrypted(url: str, files: CredentialFiles) -> None:
    """Raise ValueError if credentials would be sent over http://, where anyone on the network path can read them.

    Loopback is allowed: nothing leaves the host.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or _is_loopback(parts.hostname or ""):
        return
    headers = {name.lower() for name in (*files.headers, *files.header_files)}
    if files.bearer_token_file or files.username_file or headers & _CREDENTIAL_HEADERS:
        raise ValueError(
            "the credentials would be sent unencrypted: use an https:// address, or allow it with allow_insecure: true"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Credentials(AuthBase):
    """Adds a source's headers to each request. Thread-safe."""

    def __init__(self, config: CredentialFiles) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._seen: Fingerprint = ()
        self._headers: dict[str, str] = {}
        self._secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Credentials({self._config.name!r})"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Hook that requests calls for every request."""
        r.headers.update(self.headers())
        return r

    def headers(self) -> dict[str, str]:
        """The headers from the current content of the files.

        Raises GiveUp, with the file's name, if a file cannot be read, and InvalidHeader (requests) for an invalid
        value.
        """
        c = self._config
        files = [c.bearer_token_file, c.username_file, c.password_file, *c.header_files.values()]
        seen = fingerprint(path for path in files if path)
        with self._lock:
            if seen != self._seen or not self._headers:
                self._headers = self._read()
                self._seen = seen
            return self._headers

    def redact(self, text: str) -> str:
        """`text` with every secret replaced by `…`: a server may echo what it received."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def tls_fingerprint(self) -> Fingerprint:
        """Changes when a certificate, key or CA file is replaced; connections must then be reopened."""
        c = self._config
        return fingerprint(path for path in (c.ca_file, c.cert_file, c.key_file) if path)

    def _read(self) -> dict[str, str]:
        c = self._config
        found = {name: value.get_secret_value() for name, value in c.headers.items()}
        found |= {name: _secret(path, c.name) for name, path in c.header_files.items()}
        secrets = [*found.values()]
        if c.bearer_token_file:
            token = _secret(c.bearer_token_file, c.name)
            secrets.append(token)
            found["Authorization"] = f"Bearer {token}"
        if c.username_file and c.password_file:
            user, password = _secret(c.username_file, c.name), _secret(c.password_file, c.name)
            found["Authorization"] = _basic_auth_str(user.encode(), password.encode())
            secrets += [password, found["Authorization"].removeprefix("Basic ")]
        for header in found.items():
            check_header_validity(header)
        forms = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
        # Former secrets are kept: a response to a request with them may still arrive.
        known = {*self._secrets[:_MAX_FORMER_SECRETS], *(form for form in forms if len(form) >= SHORTEST_SECRET)}
        self._secrets = tuple(sorted(known, key=len, reverse=True))
        return found


def fingerprint(paths: Iterable[Path]) -> Fingerprint:
    """The versions of files, to detect changes. Follows links: Kubernetes updates a mounted Secret by a link."""
    return tuple(_file_version(path) for path in paths)


def _file_version(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _secret(path: Path, source: str) -> str:
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        # The exception's own text may contain what was read.
        raise GiveUp(f"cannot read {path}: {type(error).__name__}", dependency=source, reason="credentials") from None
    if not text or not text.isprintable():
        raise GiveUp(f"{path} must contain exactly one line of text", dependency=source, reason="credentials")
    return text
