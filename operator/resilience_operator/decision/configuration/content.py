"""Digests of configuration. A set of objects is named by the digests of its objects, so a copy can be verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DIGITS = 16
"""Hexadecimal digits of a digest."""

MISSING = ""
"""The digest of an object that does not exist."""

Objects = Mapping[str, str]
"""The digests of a revision's objects, by `Reference.key`."""


def object_digest(obj: Mapping[str, Any] | None, key: bytes = b"") -> str:
    """Return the digest of an object's data; MISSING if there is no object. key: keyed digest, for a Secret."""
    if obj is None:
        return MISSING
    return _digest({"data": obj.get("data") or {}, "binaryData": obj.get("binaryData") or {}}, key)


def object_digests(contents: Mapping[str, Mapping[str, Any] | None], key: bytes) -> dict[str, str]:
    """Return the digests of objects by `Reference.key`. key: for Secrets, so that nobody can guess their content."""
    return {name: object_digest(obj, key if is_secret(name) else b"") for name, obj in contents.items()}


def is_secret(key: str) -> bool:
    """Return whether a `Reference.key` is that of a Secret."""
    return key.startswith("Secret/")


def content_digest(objects: Objects) -> str:
    """Return the digest of a set of objects."""
    return _digest(sorted(objects.items()))


def _digest(value: object, key: bytes = b"") -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGITS // 2, key=key).hexdigest()


NOTHING = content_digest({})
"""The digest of a template that reads no configuration."""
