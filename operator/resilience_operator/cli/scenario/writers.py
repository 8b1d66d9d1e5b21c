"""Other controllers and pipelines that write the same fields: GitOps tools, KEDA, CI."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resilience_operator.cli.scenario.events_model import AutoscalerEvent, Writer
from resilience_operator.cli.scenario.happenings import Happenings, changed_hpa
from resilience_operator.cli.scenario.timeline import Timeline
from resilience_operator.decision.field_managers import display_name
from resilience_operator.simulation.workload import Workload

POLL = 1.0
"""Seconds between looks of a writer that reacts to differences."""


@dataclass(slots=True)
class RunningWriter:
    """One writer. since: since when a difference is there, for a writer with a delay."""

    writer: Writer
    timeline: Timeline
    happenings: Happenings
    start: float
    since: float | None = None

    def schedule(self) -> None:
        """Schedule its first look."""
        self.timeline.add(self.start + self.writer.from_ + (self.writer.every or POLL), self._look)

    def _look(self, workload: Workload, now: float) -> Workload:
        writer = self.writer
        if writer.until is not None and now > self.start + writer.until:
            return workload
        self.timeline.add(now + (writer.every or POLL), self._look)
        differs = self._differs(workload)
        if not differs:
            self.since = None
            return workload
        if writer.delay is not None:
            if self.since is None:
                self.since = now
            if now - self.since < writer.delay:
                return workload
            self.since = None
        self.happenings.note(now, "writer", f"{display_name(writer.by)} sets {', '.join(differs)}")
        return self._write(workload, now)

    def _differs(self, workload: Workload) -> list[str]:
        """The fields that differ from what it wants."""
        writer, hpa = self.writer, workload.hpa
        found = (
            ("replicas", writer.replicas, workload.replicas),
            ("template", writer.revision, workload.template),
            ("paused", writer.paused, workload.paused),
            ("minReplicas", writer.hpa_min, hpa.min_replicas if hpa else None),
            ("maxReplicas", writer.hpa_max, hpa.max_replicas if hpa else None),
        )
        return [f"{name} to {wanted}" for name, wanted, actual in found if wanted is not None and wanted != actual]

    def _write(self, workload: Workload, now: float) -> Workload:
        writer = self.writer
        if writer.revision is not None and writer.revision != workload.template:
            workload = workload.release(writer.revision, writer.by, now)
        if writer.replicas is not None and writer.replicas != workload.replicas:
            workload = workload.scale(writer.replicas, writer.by, now)
        if writer.paused is not None and writer.paused != workload.paused:
            workload = workload.pause(writer.by) if writer.paused else workload.resume(now, writer.by)
        if workload.hpa is not None and (writer.hpa_min is not None or writer.hpa_max is not None):
            workload = changed_hpa(workload, AutoscalerEvent(min=writer.hpa_min, max=writer.hpa_max, by=writer.by))
            if workload.hpa is not None and workload.hpa.original_min is not None and writer.hpa_min is not None:
                # It applies the whole object, so that the operator's annotation is lost.
                workload = replace(workload, hpa=replace(workload.hpa, original_min=None))
        return workload
