"""Host names under which the dashboard is served.

A page on another site can resolve its own name to our address (DNS rebinding). The browser then treats both as one
site, but still sends that name as `Host`. IP addresses cannot be rebound, nor can names that only the cluster resolves.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

ANY = "*"
"""Allows any host name."""


def service_names(name: str, namespace: str) -> tuple[str, ...]:
    """Return the names of a Service within the cluster.

    `name.namespace` is included only if the namespace has a hyphen, because no public top-level domain has one. A
    service in the namespace `dev` would share its name with a site that anybody could register.
    """
    names = [name, f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local"]
    if "-" in namespace and not namespace.startswith("xn--"):
        names.append(f"{name}.{namespace}")
    return tuple(names)


class AllowedHosts:
    """IP addresses, `localhost`, and the configured names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset({"localhost", *(name.lower().rstrip(".") for name in names)})

    def allows(self, host: str) -> bool:
        """Return True if a request with this `Host` header is served."""
        if ANY in self._names:
            return True
        name = _name_of(host)
        return name in self._names or _is_address(name)


def _name_of(host: str) -> str:
    if any(c in host for c in "@/?#\\") or not host.isprintable() or " " in host:
        return ""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    return (parts.hostname or "").rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
