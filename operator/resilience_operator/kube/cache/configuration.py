"""The metadata of ConfigMaps and Secrets, and the copies of what revisions read."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from resilience_operator.decision.configuration.content import content_digest

POLICY_LABEL = "resilience-operator.io/policy-uid"
"""The label of a copy: the uid of the policy that it belongs to."""

OBJECTS = "resilience-operator.io/objects"
"""The annotation of a copy: the digests of its objects, as JSON."""

CONTENT_KEY = "objects"
"""The key of a copy's data that holds the objects, as JSON."""


@dataclass(frozen=True, slots=True)
class ConfigurationObject:
    """A ConfigMap or a Secret. policy: the uid in a copy's label, or empty. objects: a copy's annotation, or empty."""

    namespace: str
    name: str
    version: str
    policy: str = ""
    objects: str = ""


def project_configuration(obj: Mapping[str, Any], old: ConfigurationObject | None = None) -> ConfigurationObject:
    """Project the metadata of an object."""
    del old
    meta = obj["metadata"]
    policy = str((meta.get("labels") or {}).get(POLICY_LABEL) or "")
    objects = str((meta.get("annotations") or {}).get(OBJECTS) or "") if policy else ""
    return ConfigurationObject(
        sys.intern(meta["namespace"]), meta["name"], meta["resourceVersion"], sys.intern(policy), objects
    )


def kept_content(copy: ConfigurationObject) -> str | None:
    """Return the digest of a copy's content; None if its name does not fit the digests of its objects.

    The name of a copy ends in the digest, so whoever edits the annotation makes the copy unknown.
    """
    try:
        found = orjson.loads(copy.objects)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or not all(isinstance(digest, str) for digest in found.values()):
        return None
    content = content_digest(found)
    return content if copy.name.endswith(f"-{content}") else None
