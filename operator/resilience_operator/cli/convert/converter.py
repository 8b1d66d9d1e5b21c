"""Converts documents to policies with notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.api.v1alpha1 import KIND, InvalidPolicy, parse_policy
from resilience_operator.cli.convert.builder import Json
from resilience_operator.cli.convert.hpa import ALWAYS, convert_hpa
from resilience_operator.cli.convert.keda import PAUSED, convert_scaled_object
from resilience_operator.cli.convert.reader import ConversionNote, TrackingReader

HPA, SCALED_OBJECT = "HorizontalPodAutoscaler", "ScaledObject"
_HARMLESS = ("kubectl.kubernetes.io/last-applied-configuration",)


@dataclass(slots=True)
class Converted:
    """The result for one document. source: its kind and name. policy: None if it was not converted."""

    source: str
    policy: Json | None = None
    notes: list[ConversionNote] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether everything was converted."""
        return self.policy is not None and not any(remark.lost for remark in self.notes)


def convert_all(documents: Iterable[Any]) -> list[Converted]:
    """Convert each document; lists from kubectl are split."""
    return [_convert(document) for document in _flat(documents)]


def _flat(documents: Iterable[Any]) -> Iterator[Any]:
    for document in documents:
        if isinstance(document, Mapping) and str(document.get("kind", "")).endswith("List"):
            yield from _flat(document.get("items") or ())
        else:
            yield document


def _convert(document: Any) -> Converted:
    if not isinstance(document, Mapping) or not isinstance(document.get("metadata", {}), Mapping):
        return Converted(
            "a document", notes=[ConversionNote("", "is not a Kubernetes object and was skipped", lost=True)]
        )
    kind, version = str(document.get("kind", "")), str(document.get("apiVersion", ""))
    metadata: Mapping[str, Any] = document.get("metadata") or {}
    name = "/".join(str(part) for part in (metadata.get("namespace"), metadata.get("name")) if part)
    found = Converted(f"{kind or 'an object without a kind'} {name}".rstrip())
    spec = TrackingReader(document.get("spec") or {}, "spec", found.notes)
    kept = _metadata(metadata)
    try:
        if kind == HPA and version == "autoscaling/v2":
            if any(owner.get("kind") == SCALED_OBJECT for owner in metadata.get("ownerReferences") or ()):
                found.notes.append(ConversionNote("", "is managed by KEDA: convert its ScaledObject", lost=True))
                return found
            policy = convert_hpa(spec, kept)
        elif kind == SCALED_OBJECT and version.startswith("keda.sh/"):
            annotations = TrackingReader(metadata.get("annotations") or {}, "metadata.annotations", found.notes)
            policy = convert_scaled_object(spec, kept, annotations)
        else:
            hint = ": `kubectl get hpa.v2.autoscaling NAME -o yaml` prints it in v2" if kind == HPA else ""
            found.notes.append(
                ConversionNote("", f"{version or 'it'} cannot be converted and was skipped{hint}", lost=True)
            )
            return found
    except (TypeError, ValueError, AttributeError) as error:
        found.notes.append(ConversionNote("spec", f"does not match its API and was skipped: {error}", lost=True))
        return found
    spec.note_unread()
    for key in metadata.get("annotations") or {}:
        if key not in (*PAUSED, *_HARMLESS):
            found.notes.append(ConversionNote(f"metadata.annotations[{key}]", "is not converted"))
    return _checked(found, policy, kind)


def _metadata(metadata: Mapping[str, Any]) -> Json:
    return {key: metadata[key] for key in ("name", "namespace", "labels") if metadata.get(key)}


def _checked(found: Converted, policy: Json, kind: str) -> Converted:
    """The policy, if it is valid."""
    if not policy["spec"]["rules"]:
        found.notes.append(ConversionNote("", f"nothing in it can be converted, so there is no {KIND}", lost=True))
        return found
    try:
        parse_policy(policy)
    except InvalidPolicy as error:
        found.notes.append(ConversionNote("", f"the resulting policy would be rejected: {error}", lost=True))
        return found
    found.policy = policy
    name = "HPA" if kind == HPA else kind
    mode = "" if policy["spec"]["mode"] == "Suspended" else "the policy is in mode DryRun and changes nothing. "
    found.notes += [ConversionNote("", text.format(name, mode)) for text in ALWAYS]
    return found
