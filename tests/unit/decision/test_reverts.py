"""Other writers of the size: people, manifests, autoscalers; and fights over it."""

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.commands import Verb
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Mode, Rule, ScaleDown, ScaleUp
from resilience_operator.decision.model.target import HorizontalPodAutoscaler
from tests.unit.decision.builders import FAILING, Run, policy, reasons, rolled_out, seen, target, unknown, verbs, whole

HOUR = 3600.0
ARGO, PERSON = "argocd-controller", "kubectl-scale"
MACHINES = [ARGO, "kustomize-controller", "helm", "kubectl-client-side-apply", "kubectl-apply", "Terraform",
            "horizontal-pod-autoscaler", "keda-operator", "kube-controller-manager"]  # fmt: skip
BUSY = Rule("busy", (Condition("cpu", 0.7),), scale_up=ScaleUp(pods=2, cooldown=30.0))


def cpu(value: float) -> dict[str, Observation]:
    return seen(cpu=whole(Measured(value)))


HOT, COOL = cpu(0.85), cpu(0.3)


def run_of(replicas: int = 4, **fields: Any) -> Run:
    run = Run(policy(BUSY, **fields), target=target(replicas=replicas, ready=replicas))
    run.look(COOL)
    return run


def reverted(run: Run, to: int, by: str) -> Decision:
    """The operator scales up, or has restored its size, and `by` sets the replicas back."""
    for _ in range(10):
        if run.target.replicas > to:
            break
        run.look(HOT)
    assert run.target.replicas > to, "it scaled up"
    return run.look(HOT, replicas=to, ready=to, scaled_by=by)


@pytest.mark.parametrize("by", MACHINES)
def test_a_machines_number_is_no_floor_and_no_manual_scale(by: str) -> None:
    run = run_of()
    decision = run.look(COOL, replicas=9, ready=9, scaled_by=by)
    assert reasons(decision) == ["ReplicasChanged"]
    assert run.memory.scaling.manual_floor is None
    sizes = [c.to for _ in range(200) for c in run.look(cpu(0.05)).commands]
    assert sizes[-1:] != [9]


@pytest.mark.parametrize("by", [PERSON, "kubectl-edit", "k9s", "", "somebody"])
def test_a_person_and_an_unknown_writer_set_a_floor(by: str) -> None:
    run = run_of()
    assert reasons(run.look(COOL, replicas=9, ready=9, scaled_by=by)) == ["ManualScale"]
    assert [c for _ in range(200) for c in run.look(cpu(0.05)).commands] == []


def test_a_manifest_ends_the_floor_of_a_person() -> None:
    run = run_of()
    run.look(COOL, replicas=9, ready=9, scaled_by=PERSON)
    run.look(COOL, replicas=4, ready=4, scaled_by="kubectl-client-side-apply")
    assert run.memory.scaling.manual_floor is None


@pytest.mark.parametrize("by", [*MACHINES, "", "somebody", PERSON])
@pytest.mark.parametrize("rules", [(BUSY,), (FAILING,)])
@pytest.mark.parametrize("signals", [COOL, {"cpu": unknown(), "error-rate": unknown()}])
def test_below_the_minimum_it_is_restored_at_once(by: str, rules: Any, signals: Any) -> None:
    run = Run(policy(*rules, min_replicas=3), target=target())
    run.look(COOL)
    decision = run.look(signals, replicas=1, ready=1, scaled_by=by)
    (step,) = decision.commands
    assert (step.verb, step.reason, step.from_, step.to) == (Verb.SCALE_UP, "BelowMinimum", 1, 3)
    assert run.target.replicas == 3
    assert run.look(COOL).commands == ()


def test_a_policy_that_starts_below_its_minimum_restores_it() -> None:
    run = Run(policy(BUSY, min_replicas=6), target=target())
    assert [c.to for c in run.look(COOL).commands] == [6]


def test_zero_replicas_stay_off() -> None:
    run = run_of(min_replicas=3)
    assert run.look(HOT, replicas=0, ready=0, scaled_by=PERSON).commands == ()
    assert run.look(HOT).commands == ()


def test_a_daemonset_has_no_minimum() -> None:
    run = Run(policy(FAILING, min_replicas=9), target=target(kind="DaemonSet"))
    assert run.look(COOL).commands == ()


def test_the_minimum_is_never_above_the_maximum_of_an_hpa() -> None:
    hpa = HorizontalPodAutoscaler("checkout", "7", 1, 2)
    run = Run(policy(BUSY, min_replicas=3), target=target(replicas=1, ready=1, hpa=hpa))
    (step,) = run.look(COOL).commands
    assert (step.to, step.via) == (2, "HorizontalPodAutoscaler/checkout")


def test_below_the_minimum_with_an_hpa_its_minimum_is_raised_and_stays() -> None:
    hpa = HorizontalPodAutoscaler("checkout", "7", 1, 9)
    run = Run(policy(BUSY, min_replicas=3), target=target(replicas=1, ready=1, hpa=hpa))
    assert [c.to for c in run.look(COOL).commands] == [3]
    run.target = replace(run.target, replicas=3, ready=3)
    assert [c for _ in range(200) for c in run.look(cpu(0.05)).commands] == []


@pytest.mark.parametrize("by", MACHINES)
def test_a_fight_over_replicas_ends_after_the_second_revert(by: str) -> None:
    run = run_of()
    assert reasons(reverted(run, 4, by)) == ["ReplicasReverted"]
    second = reverted(run, 4, by)
    assert reasons(second) == ["ReplicasReverted", "ChangeReverted"]
    assert [c for _ in range(100) for c in run.look(HOT).commands] == [], "it stops"
    assert all(n.reason == "ChangeReverted" for n in run.look(HOT).active.values())


def fought(by: str = ARGO) -> Run:
    run = run_of()
    reverted(run, 4, by)
    reverted(run, 4, by)
    assert run.look(HOT).commands == ()
    return run


def test_the_notice_of_a_fight_names_who_and_what_to_configure_and_is_sent_once() -> None:
    run = run_of()
    reverted(run, 4, ARGO)
    (notice,) = [n for n in reverted(run, 4, ARGO).notices if n.reason == "ChangeReverted"]
    assert [n for _ in range(50) for n in run.look(HOT).notices] == []
    assert notice.warning
    for part in ("Argo CD (argocd-controller)", "spec.replicas of Deployment checkout", "ignoreDifferences"):
        assert part in notice.message


def test_a_fight_also_ends_the_restoring_of_the_minimum() -> None:
    run = run_of(min_replicas=3)
    for _ in range(2):
        run.look(COOL, replicas=1, ready=1, scaled_by=ARGO)
        assert run.target.replicas == 3
    assert run.look(COOL, replicas=1, ready=1, scaled_by=ARGO).commands == ()


def test_a_change_of_the_spec_ends_the_hold() -> None:
    run = fought()
    run.policy = replace(run.policy, generation=2)
    assert verbs(run.look(HOT)) == ["scaleUp"]


def test_another_writer_of_the_field_ends_the_hold() -> None:
    run = fought()
    assert verbs(run.look(HOT, replicas=5, ready=5, scaled_by="kubectl-edit")) == ["scaleUp"]


def test_the_hold_expires_and_grows_with_each_further_revert() -> None:
    run = fought()
    assert verbs(run.look(HOT, after=HOUR)) == ["scaleUp"]
    assert run.look(HOT, replicas=4, ready=4, scaled_by=ARGO).commands == ()
    assert run.look(HOT, after=1.5 * HOUR).commands == ()
    assert verbs(run.look(HOT, after=HOUR)) == ["scaleUp"]


def test_the_hold_wakes_the_policy() -> None:
    run = fought()
    decision = run.look(HOT)
    assert decision.wake is not None
    assert decision.wake - decision.at <= HOUR


def test_a_deployment_that_resets_the_replicas_is_no_fight() -> None:
    run = run_of()
    for number, name in enumerate(("b", "c", "d"), 2):
        for _ in range(10):
            if run.look(HOT).commands:
                break
        base = rolled_out(name)
        run.look(HOT, replicas=4, ready=4, scaled_by="helm", revision=name, revisions=(*base.revisions,))
        assert run.memory.reverts == (), number


def test_reverts_far_apart_are_no_fight() -> None:
    run = run_of()
    reverted(run, 4, ARGO)
    run.look(COOL, after=3 * HOUR)
    assert verbs(reverted(run, 4, ARGO)) == ["scaleUp"]


def test_the_reverts_survive_a_restart() -> None:
    run = fought()
    run.memory = load_memory(dump_memory(run.memory))
    assert run.look(HOT).commands == ()
    assert load_memory(dump_memory(Memory())).reverts == ()


def raised(by: str, minimum: int, **hpa: Any) -> Run:
    """The operator raised the HPA's minimum from 2 to 6; then `by` set it to `minimum`."""
    given = HorizontalPodAutoscaler("checkout", "7", 2, 20, **hpa)
    run = Run(policy(BUSY, min_replicas=None), target=target(hpa=given))
    run.look(COOL)
    (up,) = run.look(HOT).commands
    assert up.to == 6
    run.target = replace(run.target, replicas=6, ready=6)
    assert run.target.hpa is not None
    run.target = replace(run.target, hpa=replace(run.target.hpa, min_replicas=minimum, min_by=by))
    return run


@pytest.mark.parametrize("by", ["kubectl-edit", "k9s", "Mozilla", "somebody"])
@pytest.mark.parametrize("minimum", [15, 7, 4])
def test_a_persons_minimum_of_an_hpa_is_the_floor(by: str, minimum: int) -> None:
    run = raised(by, minimum)
    decision = run.look(COOL)
    (adopt,) = decision.commands
    assert (adopt.verb, adopt.reason) == (Verb.ADOPT_MINIMUM, "MinimumChanged")
    assert "forgets the original value of 2" in adopt.message
    assert run.target.hpa is not None
    assert run.target.hpa.original_min is None, "the annotation is removed"
    assert [c for _ in range(200) for c in run.look(cpu(0.05)).commands] == [], "it is not walked back"


def test_a_step_up_comes_before_the_annotation_is_removed() -> None:
    run = raised("kubectl-edit", 6)
    assert verbs(run.look(HOT, after=60.0)) == ["scaleUp"]


@pytest.mark.parametrize("by", ["argocd-controller", "helm", "kubectl-client-side-apply", "kustomize-controller"])
def test_a_fight_over_the_minimum_ends_after_the_second_revert(by: str) -> None:
    run = raised(by, 2)
    assert "MinimumReverted" in reasons(run.look(HOT, after=60.0))
    for _ in range(10):
        if run.target.hpa is not None and run.target.hpa.min_replicas > 2:
            break
        run.look(HOT)
    assert run.target.hpa is not None
    run.look(HOT, hpa=replace(run.target.hpa, min_replicas=2, min_by=by))
    steps = [c for _ in range(100) for c in run.look(HOT).commands if c.verb is Verb.SCALE_UP]
    assert steps == []
    assert "ChangeReverted" in {n.reason for n in run.look(HOT).active.values()}


def test_an_hpa_of_keda_is_never_written() -> None:
    hpa = HorizontalPodAutoscaler("keda-hpa-x", "7", 2, 20, owner="KEDA", scaled_object="x", min_by="keda-operator")
    run = Run(policy(BUSY), target=target(hpa=hpa))
    run.look(COOL)
    decision = run.look(HOT)
    assert decision.commands == ()
    (notice,) = decision.notices
    assert notice.reason == "ManagedByKEDA"
    assert "minReplicaCount of ScaledObject x" in notice.message
    assert [c for _ in range(50) for c in run.look(HOT).commands] == []


def reset(run: Run, to: int, by: str, **fields: Any) -> Decision:
    """A manifest with `to` replicas is applied after the operator has scaled up."""
    for _ in range(10):
        if run.look(HOT).commands:
            break
    assert run.target.replicas == 6
    return run.look(COOL, replicas=to, ready=to, scaled_by=by, **fields)


@pytest.mark.parametrize("by", ["helm", "kubectl-client-side-apply", "kubectl-apply", ARGO])
@pytest.mark.parametrize("to", [1, 4, 5])
def test_a_manifest_with_fewer_replicas_does_not_end_a_scale_up(by: str, to: int) -> None:
    run = run_of()
    (step,) = reset(run, to, by).commands
    assert (step.verb, step.reason, step.from_, step.to) == (Verb.SCALE_UP, "ReplicasReset", to, 6)
    assert run.memory.scaling.baseline == to, "it is the lower bound of scaling down"
    assert run.look(COOL).commands == ()
    assert run.memory.scaling.reset_from is None


@pytest.mark.parametrize("by", [PERSON, "", "somebody", "horizontal-pod-autoscaler"])
def test_the_size_of_another_writer_stays(by: str) -> None:
    assert reset(run_of(), 5, by).commands == ()


def test_zero_replicas_in_a_manifest_stay_off() -> None:
    run = run_of()
    assert reset(run, 0, "helm").commands == ()
    assert run.look(COOL, replicas=4, ready=4, scaled_by="helm").commands == ()


def test_where_the_operator_does_not_scale_down_a_manifest_does() -> None:
    run = run_of(scale_down=ScaleDown(enabled=False))
    assert reset(run, 4, "helm").commands == ()


def test_a_reset_is_restored_after_a_crash_but_not_later() -> None:
    run = run_of()
    at = reset(run, 4, "helm").at
    memory = replace(run.memory, scaling=replace(run.memory.scaling, reset_from=6, reset_at=at, last_replicas=4))
    assert load_memory(dump_memory(memory)).scaling.reset_from == 6
    for later, steps in ((30.0, [6]), (90.0, [])):
        again = run_of()
        again.memory, again.now = memory, at + later
        again.target = run.target
        assert [c.to for c in again.look(COOL, replicas=4, ready=4, scaled_by="helm").commands] == steps


def test_a_size_that_was_only_simulated_is_not_restored() -> None:
    run = run_of(replicas=6, mode=Mode.DRY_RUN)
    for _ in range(10):
        if run.look(HOT).commands:
            break
    assert run.target.replicas == 6
    assert run.look(COOL, replicas=4, ready=4, scaled_by="helm").commands == ()
