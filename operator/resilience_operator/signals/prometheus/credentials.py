"""Credentials from mounted files, read again when the files change. Nothing here can be printed."""

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
"""Characters. Nothing shorter is taken for a secret, else ordinary words would be struck out of messages."""

_KEPT = 64
"""Former secrets that are still struck out."""

Fingerprint = tuple[tuple[int, int, int] | None, ...]
"""Of each file: inode, size, time of its last change in ns; None where it cannot be read."""


class CredentialFiles(Protocol):
    """Where the credentials for one dependency are; None where there are none of a sort."""

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
    """Raises ValueError where credentials would go over http://, which anybody on the way can read.

    Loopback is let through: nothing leaves the host.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or _is_loopback(parts.hostname or ""):
        return
    headers = {name.lower() for name in (*files.headers, *files.header_files)}
    if files.bearer_token_file or files.username_file or headers & _CREDENTIAL_HEADERS:
        raise ValueError(
            "the credentials would be sent unencrypted: use an https:// address, or accept it with allow_insecure: true"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Credentials(AuthBase):
    """Puts the headers of a source on each request. Shared by the threads of the source."""

    def __init__(self, config: CredentialFiles) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._seen: Fingerprint = ()
        self._headers: dict[str, str] = {}
        self._secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Credentials({self._config.name!r})"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Called by requests for every request."""
        r.headers.update(self.headers())
        return r

    def headers(self) -> dict[str, str]:
        """The headers as the files are now. Raises GiveUp, naming the file, when one cannot be read, and requests'
        InvalidHeader for what no header can hold.
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
        """`text` without what was sent as a secret: a server may repeat what it was asked with."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def tls_fingerprint(self) -> Fingerprint:
        """Changes when a certificate, key or authority was replaced: connections must then be made anew."""
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
        # Those before this reading stay: an answer to a request with them may still come.
        known = {*self._secrets[:_KEPT], *(form for form in forms if len(form) >= SHORTEST_SECRET)}
        self._secrets = tuple(sorted(known, key=len, reverse=True))
        return found


def fingerprint(paths: Iterable[Path]) -> Fingerprint:
    """Tell files from their former selves. Follows links: a mounted Secret is swapped by a link."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _secret(path: Path, source: str) -> str:
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        # The exception's own text may quote what was read.
        raise GiveUp(f"cannot read {path}: {type(error).__name__}", dependency=source, reason="credentials") from None
    if not text or not text.isprintable():
        raise GiveUp(f"{path} must hold one line of text", dependency=source, reason="credentials")
    return text
