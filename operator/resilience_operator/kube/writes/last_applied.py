"""The manifest that `kubectl apply` keeps on an object, in step with a restored template.

The next `kubectl apply` deletes what this manifest has and the new one does not. After a rollback it still has the bad
template, so what only the restored template has would stay in the workload for ever. No copy of the earlier manifest
exists: a ReplicaSet does not inherit the annotation. But the whole restored template serves as well: of what the new
manifest leaves out, the API server fills in the defaults again.
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/#merge-patch-calculation
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

DATA = ("data", "binaryData")

MOST_ANNOTATIONS = 256 * 1024
"""Bytes of all annotations of an object: https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/"""


def with_template(annotations: Mapping[str, str], template: Mapping[str, Any]) -> str | None:
    """Return the annotation with the restored template.

    None if there is no such annotation, if it is not a manifest, or if it would grow too large.
    """
    manifest = _manifest(annotations)
    if manifest is None or not isinstance(manifest.get("spec"), dict):
        return None
    return _text(annotations, {**manifest, "spec": {**manifest["spec"], "template": template}})


def with_data(annotations: Mapping[str, str], data: Mapping[str, Any]) -> str | None:
    """Return the annotation of a ConfigMap or a Secret with the restored `data` and `binaryData`; None as above."""
    manifest = _manifest(annotations)
    if manifest is None:
        return None
    rest = {key: value for key, value in manifest.items() if key not in (*DATA, "stringData")}
    return _text(annotations, {**rest, **{key: data[key] for key in DATA if key in data}})


def _manifest(annotations: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        manifest = json.loads(annotations.get(LAST_APPLIED) or "null")
    except (ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _text(annotations: Mapping[str, str], manifest: Mapping[str, Any]) -> str | None:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n"
    others = sum(len(key) + len(value) for key, value in annotations.items()) - len(annotations[LAST_APPLIED])
    return text if others + len(text.encode()) <= MOST_ANNOTATIONS else None
