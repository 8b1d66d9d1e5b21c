"""A cluster in which nothing was ever installed, for tests that install for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import Cluster, Options, down, up
from tests.cluster.cluster import is_free
from tests.cluster.locking import exclusive
from tests.support.install import ROOT

PORTS = range(26620, 27380, 20)
"""Where its ports may begin: apart from those of the cluster that the other tests share."""


@contextmanager
def fresh_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster whose state is in `folder`; it is stopped in the end."""
    state = folder / "cluster"
    try:
        # Between finding ports free and listening on them nobody else may look for some.
        with exclusive(ROOT / ".local" / "fresh"):
            base = next(base for base in PORTS if all(is_free(base + offset) for offset in range(10)))
            cluster = up(Options(state=state, ports=base), say=print)
        yield cluster
    finally:
        down(state, say=print)
