"""The launcher's own small HTTP client: JSON and readiness, over TLS that is always verified."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


class Http:
    """Asks loopback addresses, as the bearer of a client certificate where the other side wants one."""

    def __init__(self, ca: Path, cert: Path, key: Path) -> None:
        tls = ssl.create_default_context(cafile=str(ca))
        tls.load_cert_chain(cert, key)
        # Proxy settings of the machine are meant for other hosts than this one.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
        )

    def ok(self, url: str) -> bool:
        """Whether a GET is answered 200; nobody listening yet is an answer too."""
        try:
            with self._opener.open(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # urllib's errors, refused connections and TLS handshakes cut short are all of this kind
            return False

    def get(self, url: str) -> Any:
        with self._opener.open(url, timeout=30) as answer:
            return json.load(answer)

    def delete(self, url: str) -> None:
        """Delete one object."""
        with self._opener.open(urllib.request.Request(url, method="DELETE"), timeout=30):
            pass

    def found(self, url: str) -> bool:
        """Whether the object exists; any other failure than 404 is raised."""
        try:
            self.get(url)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    def apply(self, url: str, manifest: dict[str, Any]) -> None:
        """Create or change one object by server-side apply; ``url`` is that of its collection."""
        request = urllib.request.Request(
            f"{url}/{manifest['metadata']['name']}?fieldManager=test-cluster&force=true",
            data=json.dumps(manifest).encode(),
            headers={"Content-Type": "application/apply-patch+yaml"},
            method="PATCH",
        )
        with self._opener.open(request, timeout=30):
            pass
