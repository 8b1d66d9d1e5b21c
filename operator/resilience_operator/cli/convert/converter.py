"""Converts documents to policies with notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from resilience_operator.api.target import WORKLOADS
from resilience_operator.cli.convert.analyses import Analyses
from resilience_operator.cli.convert.builder import Json
from resilience_operator.cli.convert.hpa import ALWAYS, convert_hpa
from resilience_operator.cli.convert.keda import PAUSED, convert_scaled_object
from resilience_operator.cli.convert.reader import ConversionNote, TrackingReader
from resilience_operator.cli.convert.result import Converted, checked, kept_metadata, place_of

__all__ = ["Converted", "convert_all"]

HPA, SCALED_OBJECT = "HorizontalPodAutoscaler", "ScaledObject"
_HARMLESS = ("kubectl.kubernetes.io/last-applied-configuration",)


def convert_all(documents: Iterable[Any]) -> list[Converted]:
    """Convert each document; lists from kubectl are split. Analyses are converted with the objects that use them."""
    flat = list(_flat(documents))
    analyses = Analyses([one for one in flat if isinstance(one, Mapping)])
    scaled = {place_of(one) for one in flat if isinstance(one, Mapping) and one.get("kind") == SCALED_OBJECT}
    return [analyses.convert(one) if analyses.has(one) else _convert(one, scaled) for one in flat]


def _flat(documents: Iterable[Any]) -> Iterator[Any]:
    for document in documents:
        if isinstance(document, Mapping) and str(document.get("kind", "")).endswith("List"):
            yield from _flat(document.get("items") or ())
        else:
            yield document


def _convert(document: Any, scaled: set[tuple[str, str]]) -> Converted:
    if not isinstance(document, Mapping) or not isinstance(document.get("metadata", {}), Mapping):
        return Converted(
            "a document", notes=[ConversionNote("", "is not a Kubernetes object and was skipped", lost=True)]
        )
    kind, version = str(document.get("kind", "")), str(document.get("apiVersion", ""))
    metadata: Mapping[str, Any] = document.get("metadata") or {}
    name = "/".join(str(part) for part in (metadata.get("namespace"), metadata.get("name")) if part)
    found = Converted(f"{kind or 'an object without a kind'} {name}".rstrip())
    spec = TrackingReader(document.get("spec") or {}, "spec", found.notes)
    kept = kept_metadata(metadata)
    try:
        if kind == HPA and version == "autoscaling/v2":
            owners = metadata.get("ownerReferences") or ()
            owner = next((str(one.get("name")) for one in owners if one.get("kind") == SCALED_OBJECT), None)
            if owner is not None:
                # KEDA made it. If its ScaledObject is in the input, nothing is left out.
                found.used = (place_of(document)[0], owner) in scaled
                text = f"is managed by KEDA: its ScaledObject {owner} is converted"
                lost = f"is managed by KEDA: convert its ScaledObject {owner}"
                found.notes.append(ConversionNote("", text if found.used else lost, lost=not found.used))
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
    kept_kind = str(policy["spec"]["targetRef"].get("kind") or "")
    if kept_kind and kept_kind not in WORKLOADS:
        found.notes.append(
            ConversionNote(
                "spec.scaleTargetRef",
                f"the operator scales {kept_kind} through its /scale only, and needs rights on it (docs: other kinds)",
            )
        )
    return checked(found, policy, [text.format("HPA" if kind == HPA else kind, _mode(policy)) for text in ALWAYS])


def _mode(policy: Json) -> str:
    suspended = policy["spec"]["mode"] == "Suspended"
    return "" if suspended else "the policy is in mode DryRun and changes nothing. "
