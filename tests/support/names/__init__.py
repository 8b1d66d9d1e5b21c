"""Names that one operator process can or cannot resolve, without any right, and without touching the machine.

No DNS knows a name under `.invalid` (RFC 6761, section 6.4), so looking one up fails for real, in the real resolver. So
that it can also succeed, `site/sitecustomize.py` answers the names in a file with loopback, as /etc/hosts would.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.install import ROOT

API = "api.resilience.invalid"
PROMETHEUS = "prometheus.resilience.invalid"


class Names:
    """The names that are known. environment: what makes a process ask here first."""

    def __init__(self, folder: Path, *known: str) -> None:
        self._file = folder / "names"
        self._known = set(known)
        self._write()
        path = (ROOT / "operator", Path(__file__).parent / "site")
        self.environment = {
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "RESILIENCE_TEST_NAMES": str(self._file),
            # Where no DNS answers at all, it is given up on soon.
            "RES_OPTIONS": "timeout:1 attempts:1",
        }

    def know(self, name: str) -> None:
        """From now on the name is loopback's."""
        self._known.add(name)
        self._write()

    def forget(self, name: str) -> None:
        """From now on nobody knows the name."""
        self._known.discard(name)
        self._write()

    def _write(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_text("\n".join(sorted(self._known)))
        new.replace(self._file)
