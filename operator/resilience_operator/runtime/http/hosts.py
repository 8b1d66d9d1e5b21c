"""The names under which the dashboard may be asked for.

A page of a foreign site can let its own name resolve to an address of ours (DNS rebinding). The browser then takes both
for one site, but still sends that name as `Host`. Addresses cannot be rebound, nor can names that only the cluster
resolves.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

ANY = "*"
"""In place of a name: any."""


def service_names(name: str, namespace: str) -> tuple[str, ...]:
    """The names of a Service within the cluster.

    `name.namespace` is among them only if the namespace has a hyphen, which no public top-level domain has: a service
    in the namespace `dev` has the same name as a site that anybody could register.
    """
    names = [name, f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local"]
    if "-" in namespace and not namespace.startswith("xn--"):
        names.append(f"{name}.{namespace}")
    return tuple(names)


class AllowedHosts:
    """Addresses, `localhost`, and the names that are given."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset({"localhost", *(name.lower().rstrip(".") for name in names)})

    def allows(self, host: str) -> bool:
        """Whether a request with this `Host` header may be answered."""
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
