"""Configuration that belongs to a revision: what a template reads, how pairs are named, and what may be restored."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_operator.decision.configuration.content import MISSING, NOTHING, content_digest, object_digest
from resilience_operator.decision.configuration.names import (
    Restored,
    content_of,
    read_restored,
    revision_with,
    template_of,
)
from resilience_operator.decision.configuration.references import Reference, references_of
from resilience_operator.decision.configuration.revisions import with_configuration
from resilience_operator.decision.decide import Decision, decide
from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.configuration import Configuration
from resilience_operator.decision.model.memory import Intent, Memory, Phase
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import IncludedConfiguration, Mode, Release
from resilience_operator.decision.model.target import Revision, TargetState
from resilience_operator.decision.outcomes import apply_outcomes, recover_intent
from resilience_operator.kube.cache.workloads import restored_from, template_digest, with_restart, without_restored
from tests.unit.decision.builders import FAILING, T0, policy, ratio, seen, split, target

BAKE = 60.0
STEP = 10.0


def template(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "app"}], **spec}}


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "app", **fields}


def mounted(name: str, **volume: Any) -> dict[str, Any]:
    """A template whose container mounts a volume."""
    mounts = [{"name": "v", "mountPath": "/etc/v"}]
    return template(containers=[container(volumeMounts=mounts)], volumes=[{"name": "v", **volume}])


FROM_ENV = [{"configMapRef": {"name": "env"}}, {"secretRef": {"name": "hidden", "optional": True}}]
BY_KEY = [
    {"name": "A", "value": "1"},
    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "keys", "key": "b", "optional": True}}},
    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "c"}}},
    {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
]
PROJECTED = {
    "sources": [{"configMap": {"name": "p"}}, {"secret": {"name": "s"}}, {"serviceAccountToken": {"path": "t"}}]
}


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (template(), []),
        ({}, []),
        ({"spec": None}, []),
        (mounted("v", configMap={"name": "files"}), [("ConfigMap/files", False, False)]),
        (mounted("v", configMap={"name": "files", "optional": True}), [("ConfigMap/files", True, False)]),
        (mounted("v", secret={"secretName": "files"}), [("Secret/files", False, False)]),
        (mounted("v", projected=PROJECTED), [("ConfigMap/p", False, False), ("Secret/s", False, False)]),
        (mounted("v", emptyDir={}), []),
        (
            template(containers=[container(envFrom=FROM_ENV)]),
            [("ConfigMap/env", False, True), ("Secret/hidden", True, True)],
        ),
        (
            template(containers=[container(env=BY_KEY)]),
            [("ConfigMap/keys", True, True), ("Secret/hidden", False, True)],
        ),
        (
            template(containers=[container(env=BY_KEY, envFrom=FROM_ENV)]),
            [("ConfigMap/env", False, True), ("ConfigMap/keys", True, True), ("Secret/hidden", False, True)],
        ),
        (template(initContainers=[container(envFrom=FROM_ENV[:1])]), [("ConfigMap/env", False, True)]),
        (template(ephemeralContainers=[container(envFrom=FROM_ENV[:1])]), [("ConfigMap/env", False, True)]),
        (template(volumes=[{"name": "v", "configMap": {"name": "unused"}}]), [("ConfigMap/unused", False, True)]),
        (template(volumes="nonsense", containers=[None, {"env": [{"valueFrom": 3}]}]), []),
        (mounted("v", configMap={"name": 3}), []),
        (mounted("v", configMap={}), []),
    ],
)
def test_what_a_template_reads(read: dict[str, Any], found: list[tuple[str, bool, bool]]) -> None:
    assert [(r.key, r.optional, r.at_start) for r in references_of(read, secrets=True)] == found
    maps = [one for one in found if one[0].startswith("ConfigMap/")]
    assert [(r.key, r.optional, r.at_start) for r in references_of(read)] == maps


@pytest.mark.parametrize("field", ["subPath", "subPathExpr"])
def test_a_file_mounted_alone_is_read_at_the_start(field: str) -> None:
    mounts = [{"name": "v", "mountPath": "/etc/v/file", field: "file"}]
    volumes = [{"name": "v", "configMap": {"name": "files"}}]
    (found,) = references_of(template(containers=[container(volumeMounts=mounts)], volumes=volumes))
    assert found == Reference("ConfigMap", "files", False, True)
    only_init = template(initContainers=[container(volumeMounts=mounts[:0])], volumes=volumes)
    assert references_of(only_init)[0].at_start


def test_a_sidecar_is_updated_like_a_container() -> None:
    mounts = [{"name": "v", "mountPath": "/etc/v"}]
    sidecar = container(volumeMounts=mounts, restartPolicy="Always")
    read = template(initContainers=[sidecar], volumes=[{"name": "v", "configMap": {"name": "files"}}])
    assert not references_of(read)[0].at_start
    del sidecar["restartPolicy"]
    assert references_of(read)[0].at_start


def test_digests() -> None:
    one = {"data": {"a": "1"}, "metadata": {"resourceVersion": "1"}}
    assert object_digest(one) == object_digest({"data": {"a": "1"}, "binaryData": {}, "metadata": {"labels": {}}})
    assert object_digest(one) != object_digest({"binaryData": {"a": "1"}})
    assert object_digest(one) != object_digest({"data": {"a": "2"}})
    assert object_digest(None) == MISSING != object_digest({})
    assert object_digest(one, b"key") not in (object_digest(one), object_digest(one, b"other"))
    assert content_digest({"a": "1", "b": "2"}) == content_digest({"b": "2", "a": "1"}) != content_digest({"a": "1"})
    assert content_digest({}) == NOTHING


def test_names() -> None:
    name = revision_with("6d4f", "1a2b")
    assert (template_of(name), content_of(name)) == ("6d4f", "1a2b")
    assert (template_of("6d4f"), content_of("6d4f"), template_of(None)) == ("6d4f", "", "")
    for found in (Restored("6d4f", "0" * 32, 17), Restored("web-1.2", "f" * 32, 0)):
        assert read_restored(str(found)) == found
    for bad in (None, 3, "", "a.b", "a..1", ".b.1", "a.b.x", "a.b.-1", f"a.b.{10**12}"):
        assert read_restored(bad) is None


def test_a_restarted_template_is_recognised_until_it_is_changed() -> None:
    before = template()
    after = with_restart(before, "6d4f", 17)
    assert template_digest(after) != template_digest(before)
    assert restored_from(after) == Restored("6d4f", template_digest(before), 17)
    again = with_restart(after, "6d4f", 18)
    assert restored_from(again) == Restored("6d4f", template_digest(before), 18)
    assert without_restored(again) == without_restored(before)
    changed = {**after, "spec": {**after["spec"], "hostname": "x"}}
    assert restored_from(changed) is None
    annotations = {"metadata": {"annotations": ["nonsense"]}, "spec": {}}
    assert restored_from(annotations) is None
    assert restored_from(before) is None


# A world of templates and contents, in which every pair that is restored must have been baked.


@dataclass
class World:
    """A target whose template and ConfigMap change. `policy` acts on it, and may be killed at any write.

    since: when the pair that is now seen was first seen. A change that is undone between two evaluations is no change.
    """

    memory: Memory = field(default_factory=Memory)
    now: float = T0
    template: int = 1
    contents: dict[str, int] = field(default_factory=lambda: {"ConfigMap/a": 1, "ConfigMap/b": 1})
    restarts: dict[str, Restored] = field(default_factory=dict)
    sets: list[tuple[str, int]] = field(default_factory=list)
    current: str = "t1"
    paused: bool = False
    kept: dict[str, str] = field(default_factory=dict)
    since: float = T0
    seen: tuple[int, str] | None = None
    baked: set[tuple[int, str]] = field(default_factory=set)
    restored: list[tuple[int, str]] = field(default_factory=list)
    failing: bool = False
    mode: Mode = Mode.ENFORCE
    template_by: str = ""

    def __post_init__(self) -> None:
        self.sets = [("t1", 1)]
        self.policy = policy(
            FAILING,
            min_replicas=4,
            max_replicas=4,
            mode=self.mode,
            release=Release(bake=BAKE, configuration=IncludedConfiguration()),
        )

    def digests(self) -> dict[str, str]:
        return {key: object_digest({"data": {"x": str(value)}}) for key, value in self.contents.items()}

    def pair(self) -> tuple[int, str]:
        return self.template, content_digest(self.digests())

    def raw(self) -> TargetState:
        revisions = tuple(
            Revision(name, name, number, self.now - 3600, *((4, 4) if name == self.current else (0, 0)),
                     kept_in=name, uid=name, template=name, restored=self.restarts.get(name))
            for number, (name, _) in enumerate(self.sets, 1)
        )  # fmt: skip
        return target(
            revision=self.current,
            revisions=revisions,
            template=self.current,
            paused=self.paused,
            paused_by="resilience-operator" if self.paused else "",
            template_by=self.template_by,
        )

    def target(self) -> TargetState:
        digests = self.digests()
        found = Configuration(content_digest(digests), digests, kept=dict(self.kept))
        return with_configuration(self.raw(), found, self.memory)

    def apply_template(self, number: int) -> None:
        self.template, self.paused = number, False
        self.current = f"t{number}"
        if all(name != self.current for name, _ in self.sets):
            self.sets.append((self.current, number))

    def apply_content(self, key: str, value: int) -> None:
        self.contents[key] = value

    def observe(self) -> dict[str, Observation]:
        name = self.target().revision or ""
        return seen(error_rate=split(self.now, **{name: ratio(1800 if self.failing else 6, 6000)}))

    def look(self, killed_at: int | None = None) -> Decision:
        """Evaluate once. killed_at: the operator dies at that write of a rollback, and starts again."""
        if self.pair() != self.seen:
            self.seen, self.since = self.pair(), self.now
        self.now += STEP
        found = self.target()
        self.memory, _ = recover_intent(self.memory, found)
        found = self.target()
        made = decide(self.policy, self.observe(), found, self.memory, self.now)
        stable = made.memory.release is not None and made.memory.release.phase is Phase.STABLE
        if stable and self.now - self.since >= BAKE:
            self.baked.add(self.pair())
        self.memory = made.memory
        if not made.commands:
            return self.stored(made)
        self.memory = replace(made.memory, intent=Intent(self.now, made.commands))
        self.stored(made)
        outcomes = []
        for command in made.commands:
            if not self.execute(command, killed_at):
                return made  # killed: the intent is what remains
            outcomes.append(Outcome(command, Result.DONE))
        self.memory = apply_outcomes(made.memory, outcomes, found, self.now)
        return self.stored(made)

    def stored(self, made: Decision) -> Decision:
        """Store the memory, and read it back as a new process does."""
        self.memory = load_memory(json.loads(json.dumps(dump_memory(self.memory))))
        return made

    def execute(self, command: Command, killed_at: int | None) -> bool:
        match command.verb:
            case Verb.PAUSE:
                self.paused = True
            case Verb.RESUME:
                self.paused = False
            case Verb.KEEP_CONFIGURATION:
                assert command.arguments["content"] == content_digest(self.digests())
                self.kept[str(command.arguments["content"])] = json.dumps(self.digests())
            case Verb.ROLLBACK:
                return self.roll_back(command, killed_at)
        return True

    def roll_back(self, command: Command, killed_at: int | None) -> bool:
        arguments: Any = command.arguments
        writes = 0
        known = {d: v for v in range(10) for d in (object_digest({"data": {"x": str(v)}}),)}
        for key, digest in sorted(arguments["to"].items()):
            if self.digests()[key] != digest:
                if killed_at == writes:
                    return False
                assert self.digests()[key] == arguments["from"][key], "somebody else's change is not overwritten"
                self.contents[key] = known[digest]
                writes += 1
        if killed_at == writes:
            return False
        goal = template_of(str(command.to))
        name = goal
        if arguments["restart"]:
            name = f"r{goal}-{arguments['at']}"
            if name not in self.restarts:
                self.sets.append((name, dict(self.sets)[goal]))
            self.restarts[name] = Restored(goal, goal, arguments["at"])
        self.current, self.template, self.paused = name, dict(self.sets)[goal], False
        self.since = self.now
        self.restored.append(self.pair())
        return killed_at != writes + 1


def settled() -> World:
    """A world whose first pair is baked and kept."""
    world = World()
    for _ in range(12):
        world.look()
    assert world.kept and world.baked == {world.pair()}
    return world


def release(world: World) -> Any:
    found = world.memory.release
    assert found is not None
    return found


def test_switching_it_on_begins_a_bake_of_the_pair() -> None:
    world = World(memory=Memory())
    world.policy = replace(world.policy, release=Release(bake=BAKE))
    plain = world.raw()
    for _ in range(12):
        world.now += STEP
        observations = seen(error_rate=split(world.now, t1=ratio(6, 6000)))
        world.memory = decide(world.policy, observations, plain, world.memory, world.now).memory
    assert (release(world).phase, release(world).good) == (Phase.STABLE, "t1")
    world.policy = replace(world.policy, release=Release(bake=BAKE, configuration=IncludedConfiguration()))
    world.look()
    assert release(world).phase is Phase.BAKING
    assert content_of(release(world).revision)
    assert not release(world).ok_before, "it is no release: nothing counts against it"


def test_switching_it_off_keeps_the_release() -> None:
    world = settled()
    world.apply_content("ConfigMap/a", 2)
    world.failing = True
    while Verb.ROLLBACK not in [c.verb for c in world.look().commands]:
        assert world.now < T0 + 1000
    world.failing = False
    while release(world).phase is not Phase.STABLE:
        world.look()
    assert world.memory.quarantined
    found = world.raw()
    made = decide(replace(world.policy, release=Release(bake=BAKE)), {}, found, world.memory, world.now)
    after = made.memory.release
    assert after is not None
    assert "+" not in json.dumps(dump_memory(made.memory))
    assert after.good == "t1"
    assert made.memory.quarantined == (), "the content was bad, and not its template"


def test_a_change_of_content_alone_is_a_release_and_is_rolled_back() -> None:
    world = settled()
    good = world.pair()
    world.apply_content("ConfigMap/b", 2)
    made = world.look()
    assert release(world).phase is Phase.PROGRESSING
    assert release(world).configuration is not None
    assert release(world).baseline, "the requests of the same pods before"
    world.failing = True
    done: list[Verb] = []
    while Verb.ROLLBACK not in done:
        made = world.look()
        done += [c.verb for c in made.commands]
        assert world.now < T0 + 1000
    assert done[0] is Verb.PAUSE
    assert world.pair() == good
    assert world.current in world.restarts, "the pods are restarted"
    assert "ConfigMap/b" in made.commands[-1].message
    world.failing = False
    while release(world).phase is not Phase.STABLE:
        world.look()
        assert world.now < T0 + 2000
    assert world.restored == [good]
    assert [template_of(q.revision) for q in world.memory.quarantined] == ["t1"]


@pytest.mark.parametrize("writer", ["kubectl-rollout", "kubectl", "resilience-operator", "helm"])
def test_who_wrote_the_template_is_not_blamed_for_content_that_comes_again(writer: str) -> None:
    world = settled()
    good = world.pair()
    world.apply_content("ConfigMap/b", 2)
    world.look()
    world.failing = True
    while world.pair() != good:
        world.look()
        assert world.now < T0 + 1000
    world.failing = False
    while release(world).phase is not Phase.STABLE:
        world.look()
        assert world.now < T0 + 2000
    world.template_by = writer
    world.apply_content("ConfigMap/b", 2)
    made = world.look()
    (command,) = made.commands
    assert (command.verb, command.reason) == (Verb.ROLLBACK, "QuarantinedReapplied")
    assert command.message.startswith("someone applied revision"), command.message
    assert world.pair() == good


def test_a_good_change_of_content_is_kept_after_its_bake() -> None:
    world = settled()
    world.apply_content("ConfigMap/b", 2)
    for _ in range(20):
        world.look()
    assert release(world).phase is Phase.STABLE
    assert content_of(release(world).good) == content_digest(world.digests())
    assert len(world.kept) == 2


def test_a_copy_that_is_gone_is_made_again() -> None:
    world = settled()
    world.look()
    world.kept.clear()
    world.look()
    world.look()
    assert list(world.kept) == [content_digest(world.digests())]


@pytest.mark.parametrize("change", ["template", "content", "both"])
def test_unknown_content_is_never_half_restored(change: str) -> None:
    world = settled()
    world.kept.clear()
    world.policy = replace(world.policy, rules=(replace(FAILING, pause=False),))
    if change != "template":
        world.apply_content("ConfigMap/a", 2)
    if change != "content":
        world.apply_template(2)
    world.failing = True
    before: Any = None
    told = set()
    for _ in range(20):
        made = world.look()
        told |= {n.reason for n in made.notices}
        before = before or world.pair()
        if change != "template":
            assert Verb.ROLLBACK not in [c.verb for c in made.commands]
    if change == "template":
        # What the good revision read is what is read now: nothing has to be known.
        assert world.restored
        return
    assert told & {"ConfigurationUnknown"}
    assert world.paused, "it is held paused, although the rule does not pause"
    assert world.pair() == before and not world.restored


def test_what_is_too_large_is_told_and_not_kept() -> None:
    world = World()
    found = None
    for _ in range(12):
        world.now += STEP
        digests = world.digests()
        known = Configuration(content_digest(digests), digests, too_large=2_000_000)
        state = with_configuration(world.raw(), known, world.memory)
        found = decide(world.policy, world.observe(), state, world.memory, world.now)
        world.memory = found.memory
        assert not found.commands
    assert found is not None
    assert "ConfigurationTooLarge" in {n.reason for n in found.active.values()}


def test_a_fix_of_the_content_during_a_crash_is_not_overwritten() -> None:
    world = settled()
    world.apply_content("ConfigMap/a", 2)
    world.failing = True
    while not (world.memory.intent is not None and world.memory.intent.commands[0].verb is Verb.ROLLBACK):
        world.look(killed_at=0)
        assert world.now < T0 + 1000
    world.apply_content("ConfigMap/a", 3)
    world.failing = False
    for _ in range(20):
        world.look()
    assert world.contents["ConfigMap/a"] == 3
    assert release(world).phase is Phase.STABLE


@pytest.mark.parametrize("killed_at", [0, 1, 2, 3])
@pytest.mark.parametrize("both", [False, True], ids=["content", "both"])
def test_a_rollback_that_was_interrupted_is_completed(killed_at: int, both: bool) -> None:
    world = settled()
    good = world.pair()
    world.apply_content("ConfigMap/a", 2)
    world.apply_content("ConfigMap/b", 2)
    if both:
        world.apply_template(2)
    world.failing = True
    while True:
        made = world.look(killed_at)
        assert world.now < T0 + 1000
        if Verb.ROLLBACK in [c.verb for c in made.commands]:
            break
    # The restored content already ends the errors: that is no reason to stop half way.
    world.failing = False
    for _ in range(3):
        world.look()
    assert world.pair() == good
    assert len(world.memory.quarantined) == 1
    assert world.memory.unfinished is None
    assert content_of(release(world).revision) == good[1]


step = st.one_of(
    st.tuples(st.just("template"), st.integers(1, 3)),
    st.tuples(st.just("a"), st.integers(1, 3)),
    st.tuples(st.just("b"), st.integers(1, 3)),
    st.tuples(st.just("fail"), st.booleans()),
    st.tuples(st.just("look"), st.integers(1, 9)),
    st.tuples(st.just("kill"), st.integers(0, 3)),
    st.tuples(st.just("lose"), st.integers(0, 2)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(step, min_size=3, max_size=25))
def test_every_restored_pair_was_baked_together(steps: list[tuple[str, Any]]) -> None:
    world = settled()
    for what, value in steps:
        match what:
            case "template":
                world.apply_template(value)
            case "a" | "b":
                world.apply_content(f"ConfigMap/{what}", value)
            case "fail":
                world.failing = value
            case "look":
                for _ in range(value):
                    world.look()
            case "kill":
                world.look(killed_at=value)
            case "lose":
                for content in list(world.kept)[:value]:
                    del world.kept[content]
        assert set(world.restored) <= world.baked
    for _ in range(4):
        world.look()
    assert set(world.restored) <= world.baked
    assert world.memory.unfinished is None
