"""The work queue: client-go's semantics of dirty and processing, with due times."""

from __future__ import annotations

from math import inf

from resilience_operator.runtime.cache.policy_entry import CompiledPolicy, PolicyEntry
from resilience_operator.runtime.scheduling.work_queue import Trigger, WorkQueue

ENTRY = PolicyEntry("uid", "shop", "checkout", "1", 0.0, CompiledPolicy(("Deployment", "shop", "checkout")))


class Queue(WorkQueue):
    """A queue whose time is set."""

    def __init__(self) -> None:
        self.now, self.added, self.ended = 100.0, 0, 0
        super().__init__(lambda: self.now)
        self.on_add, self.on_done = self._added, self._ended

    def popped(self, until: float) -> list[tuple[float, Trigger]]:
        return [(due, trigger) for due, _, trigger in self.pop_due(until)]

    def _added(self) -> None:
        self.added += 1

    def _ended(self) -> None:
        self.ended += 1


def test_a_policy_is_queued_once_for_the_earliest_time() -> None:
    queue = Queue()
    queue.add(ENTRY, 130.0, Trigger.TIMER)
    queue.add(ENTRY, 120.0)
    queue.add(ENTRY, 140.0)
    assert (queue.due("uid"), queue.first_due, queue.added) == (120.0, 120.0, 2)
    assert queue.popped(119.9) == []
    assert queue.popped(200.0) == [(120.0, Trigger.EVENT)]
    assert (queue.due("uid"), queue.first_due, queue.popped(inf)) == (inf, None, [])


def test_a_policy_that_is_processed_becomes_dirty_and_is_queued_when_it_is_done() -> None:
    queue = Queue()
    assert queue.start(ENTRY, "evaluation")
    assert not queue.start(ENTRY, "status write"), "one worker at a time"
    queue.add(ENTRY, 105.0)
    queue.add(ENTRY, 103.0)
    queue.add(ENTRY, 104.0)
    assert (queue.popped(inf), queue.due("uid")) == ([], inf)
    queue.now = 110.0
    assert (queue.done(ENTRY), queue.ended) == ("evaluation", 1)
    assert queue.popped(inf) == [(110.0, Trigger.EVENT)]
    assert queue.done(ENTRY) is None


def test_a_policy_that_becomes_due_while_its_status_is_written_is_evaluated_afterwards() -> None:
    queue = Queue()
    queue.add(ENTRY, 101.0, Trigger.TIMER)
    queue.start(ENTRY, "status write")
    assert queue.popped(105.0) == []
    queue.done(ENTRY)
    assert queue.popped(105.0) == [(101.0, Trigger.TIMER)]


def test_an_event_during_a_status_write_does_not_postpone_the_next_evaluation() -> None:
    queue = Queue()
    queue.add(ENTRY, 102.0, Trigger.TIMER)
    queue.start(ENTRY, "status write")
    queue.add(ENTRY, 104.0)
    queue.done(ENTRY)
    assert queue.popped(inf) == [(102.0, Trigger.TIMER)]


def test_a_dirty_policy_is_due_earlier_than_its_next_interval() -> None:
    for dirty, expected in ((105.0, (105.0, Trigger.EVENT)), (150.0, (115.0, Trigger.TIMER))):
        queue = Queue()
        queue.start(ENTRY, "evaluation")
        queue.add(ENTRY, dirty)
        queue.done(ENTRY, 115.0)
        assert queue.popped(inf) == [expected]


def test_a_policy_that_is_removed_is_not_processed_but_its_worker_goes_on() -> None:
    queue = Queue()
    queue.add(ENTRY, 101.0)
    queue.start(ENTRY, "evaluation")
    queue.add(ENTRY, 102.0)
    queue.remove("uid")
    assert (queue.popped(inf), list(queue.processing)) == ([], [ENTRY])
    assert queue.processed_by(ENTRY, "evaluation")
    queue.done(ENTRY)
    assert (queue.popped(inf), list(queue.processing), queue.is_processing("uid")) == ([], [], False)
