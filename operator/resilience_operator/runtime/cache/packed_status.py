"""Compressed statuses: the cache keeps the status of each policy, and reads it only when it is written."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import orjson

_TYPICAL = (
    b'"action":"rollback","scaleUp","pauseRollout","dryRun":false,"from":"traceID":"'
    b'"history":[],"quarantined":[],"memory":{"targetUid":"rules":{"timers":[{"verdict":"Ok","since":1'
    b'"of":"latency-p99>"error-rate>0.01"}},"cpu>0.7"}},"scaling":{"baseline":"seen":"release":{"phase":"Stable","since":1'
    b'"revision":"good":"template":"goodTemplate":"signals":[{"name":"cpu","value":"name":"latency-p99","value":"ms",'
    b'"name":"error-rate","value":"%","verdict":"Ok","since":"20"target":{"replicas":"baseline":"lastGoodRevision":"'
    b'"phase":"Stable"},{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True","reason":"Accepted",'
    b'"message":"guards Deployment "lastTransitionTime":"20{"type":"MetricsAvailable","status":"True",'
    b'"reason":"AllSignalsMeasured","message":"measured: cpu, latency-p99, error-rate","{"type":"ReleaseHealthy",'
    b'"status":"True","reason":"NoRelease","message":"revision  is the last good revision","{"type":"Scaling",'
    b'"status":"True","reason":"WithinBounds","message":" pods","lastTransitionTime":"20"observedGeneration":1},'
)
"""What statuses have in common. A pack is only read by the process that made it, so this may change at any time."""


def pack(status: Mapping[str, Any]) -> bytes:
    """Return the status as compressed JSON. Equal statuses give equal packs. Raises TypeError if it is no JSON."""
    packer = zlib.compressobj(level=1, wbits=-15, memLevel=5, zdict=_TYPICAL)
    return packer.compress(orjson.dumps(status)) + packer.flush()


def unpack(packed: bytes) -> dict[str, Any]:
    """Return the status."""
    found: dict[str, Any] = orjson.loads(unpack_text(packed))
    return found


def unpack_text(packed: bytes) -> bytes:
    """Return the status as JSON."""
    return zlib.decompressobj(wbits=-15, zdict=_TYPICAL).decompress(packed)


EMPTY = pack({})
"""The status of a policy that has none."""
