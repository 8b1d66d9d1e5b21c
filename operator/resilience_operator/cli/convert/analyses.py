"""Converts analyses of releases, which are spread over several objects, of Argo Rollouts and Flagger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resilience_operator.cli.convert.argo import TEMPLATES, arguments_of, convert_template, target_of, template_names
from resilience_operator.cli.convert.flagger import convert_canary
from resilience_operator.cli.convert.guards import ALWAYS, GuardBuilder, mapping
from resilience_operator.cli.convert.reader import ConversionNote, TrackingReader
from resilience_operator.cli.convert.result import Converted, checked, kept_metadata, place_of

Document = Mapping[str, Any]
Key = tuple[str, str, str]

_GROUPS = {
    "Rollout": "argoproj.io", "AnalysisTemplate": "argoproj.io", "ClusterAnalysisTemplate": "argoproj.io",
    "Canary": "flagger.app", "MetricTemplate": "flagger.app",
}  # fmt: skip


class Analyses:
    """The analyses in the input, by the objects that use them."""

    def __init__(self, documents: Sequence[Document]) -> None:
        known = [one for one in documents if self.has(one)]
        self._templates = {_key(one): one for one in known if one["kind"] in TEMPLATES}
        self._metrics = {place_of(one): one for one in known if one["kind"] == "MetricTemplate"}
        self._used = {
            id(template)
            for one in known
            if one["kind"] == "Rollout"
            for name in template_names(one)
            for template in [self._template(one, name)]
            if template is not None
        }
        self._canaries = [one for one in known if one["kind"] == "Canary"]

    @staticmethod
    def has(document: Any) -> bool:
        """Whether a document is of a kind that is converted here."""
        if not isinstance(document, Mapping) or not isinstance(document.get("metadata") or {}, Mapping):
            return False
        group = _GROUPS.get(str(document.get("kind")))
        return group is not None and str(document.get("apiVersion", "")).startswith(f"{group}/")

    def convert(self, document: Document) -> Converted:
        """Convert one of them."""
        kind = str(document["kind"])
        namespace, name = place_of(document)
        found = Converted(f"{kind} {'/'.join(part for part in (namespace, name) if part)}".rstrip())
        spec = TrackingReader(mapping(document.get("spec")), "spec", found.notes)
        try:
            match kind:
                case "Rollout":
                    return self._rollout(document, found, spec)
                case "Canary":
                    policy = convert_canary(spec, kept_metadata(document.get("metadata") or {}), self._metrics)
                    spec.note_unread()
                    return checked(found, policy, [text.format(kind) for text in ALWAYS])
                case "MetricTemplate":
                    return self._metric_template(document, found)
                case _:
                    return self._alone(document, found, spec)
        except (TypeError, ValueError, AttributeError) as error:
            found.notes.append(ConversionNote("spec", f"does not match its API and was skipped: {error}", lost=True))
            return found

    def _rollout(self, rollout: Document, found: Converted, spec: TrackingReader) -> Converted:
        draft, names = GuardBuilder(), template_names(rollout)
        if not names:
            found.notes.append(ConversionNote("", "runs no AnalysisTemplate: nothing to convert", lost=True))
            return found
        target, given = target_of(rollout, spec), arguments_of(rollout, spec)
        for name in names:
            template = self._template(rollout, name)
            if template is None:
                spec.add_note(f"AnalysisTemplate {name} is not in the input: pass it, too", lost=True)
                continue
            reader = TrackingReader(mapping(template.get("spec")), f"{template['kind']} {name}", found.notes)
            convert_template(reader, draft, given)
            reader.note_unread()
        policy = draft.policy(kept_metadata(rollout.get("metadata") or {}), target)
        return checked(found, policy, [text.format("Rollout") for text in ALWAYS])

    def _template(self, rollout: Document, name: str) -> Document | None:
        namespace, _ = place_of(rollout)
        for key in (("AnalysisTemplate", namespace, name), ("AnalysisTemplate", "", name)):
            if key in self._templates:
                return self._templates[key]
        return self._templates.get(("ClusterAnalysisTemplate", "", name))

    def _alone(self, template: Document, found: Converted, spec: TrackingReader) -> Converted:
        """A template: used by a Rollout of the input, or on its own."""
        if id(template) in self._used:
            found.used = True
            return found
        draft = GuardBuilder()
        convert_template(spec, draft, {})
        spec.note_unread()
        _, name = place_of(template)
        policy = draft.policy(
            kept_metadata(template.get("metadata") or {}), {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        )
        notes = [text.format(template["kind"]) for text in ALWAYS]
        if checked(found, policy, notes).policy is not None:
            found.notes.append(
                ConversionNote(
                    "",
                    f"a template names no workload, so the target is Deployment {name}: set spec.targetRef, or pass "
                    "the Rollout that uses the template, too",
                    lost=True,
                )
            )
        return found

    def _metric_template(self, template: Document, found: Converted) -> Converted:
        namespace, name = place_of(template)
        for canary in self._canaries:
            for reference in _references(canary):
                place = str(reference.get("namespace") or place_of(canary)[0])
                if reference.get("name") == name and namespace in ("", place):
                    found.used = True
                    return found
        found.notes.append(ConversionNote("", "no Canary of the input uses it, so it was skipped", lost=True))
        return found


def _references(canary: Document) -> list[dict[str, Any]]:
    spec = mapping(canary.get("spec"))
    analysis = mapping(spec.get("analysis") or spec.get("canaryAnalysis"))
    metrics = analysis.get("metrics")
    return [mapping(mapping(one).get("templateRef")) for one in (metrics if isinstance(metrics, list) else ())]


def _key(document: Document) -> Key:
    return str(document["kind"]), *place_of(document)
