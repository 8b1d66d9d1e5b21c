"""What `make demo` shows while it builds happens in the simulator, within seconds."""

from __future__ import annotations

import time

from tests.demo import prelude
from tests.demo.story import SCENES


def test_the_four_acts_happen_in_the_simulator() -> None:
    acts = list(prelude.acts())
    assert len(acts) == len(SCENES)
    assert [act.description for act in acts if not act.met] == []
    texts = ["\n".join(act.lines) for act in acts]
    assert "scaleUp" in texts[0]
    assert "scaleDown" in texts[0]
    assert "Alert" in texts[1]
    assert "rollback" in texts[2]
    assert "rollback" in texts[3]


def test_it_needs_little_time() -> None:
    """CPU time, so that a busy machine does not matter: something is seen long before anything is built."""
    before = time.process_time()
    list(prelude.acts())
    assert time.process_time() - before < 20
