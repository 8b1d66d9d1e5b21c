"""The product in the model: its own `decide()`, with the signals that the policies of the samples read."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

from resilience_operator.decision.decide import decide
from resilience_operator.decision.fast_path import SteadyState, detect_steady_state, kept_memory
from resilience_operator.decision.model.commands import Outcome, Result, Verb
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import MANAGER, Revision, TargetState
from resilience_operator.decision.outcomes import apply_outcomes
from tests.bench.autoscaling.loads import STEP
from tests.bench.autoscaling.service import Service

START = 1e9
_CREATED = START - 864000.0


class Product:
    """A policy, evaluated at each step that its interval allows."""

    def __init__(self, policy: Policy, *, ingress: bool = False) -> None:
        """ingress: requests are counted before they reach the pods, as by an ingress or a mesh."""
        self.policy = policy
        self.ingress = ingress
        self.memory = Memory()
        self.steady: SteadyState | None = None
        self.every = max(1, round(policy.interval / STEP))
        self._target: TargetState | None = None

    def step(self, service: Service) -> None:
        """Observe, decide and obey."""
        if service.now % self.every or service.now < 24:
            return
        now = START + service.now * STEP
        observations = self._observe(service, now)
        target = self._state(service)
        if self.steady is not None and self.steady.still_valid(self.policy, observations, target, self.memory, now):
            return
        before = self.memory
        decision = decide(self.policy, observations, target, before, now)
        outcomes = tuple(Outcome(command, Result.DONE) for command in decision.commands)
        self.memory = apply_outcomes(decision.memory, outcomes, target, now)
        self.steady = detect_steady_state(decision, observations, target, before) if not outcomes else None
        if not outcomes:
            self.memory = kept_memory(before, self.memory)
        for command in decision.commands:
            if command.verb in (Verb.SCALE_UP, Verb.SCALE_DOWN):
                assert isinstance(command.to, int)
                service.scale(command.to)

    def _observe(self, service: Service, now: float) -> Mapping[str, Observation]:
        found: dict[str, Observation] = {}
        for name, signal in self.policy.signals.items():
            window = int(signal.window)
            if name == "cpu":
                value, overall = service.cpu(window)
                found[name] = Observation(now, Measured(value), overall=overall)
                continue
            samples = service.arrived(window) if self.ingress else service.increase(window)
            value = service.quantile(window) if name == "latency-p99" else 0.0
            if samples <= 0 or isnan(value):
                found[name] = Observation.unknown(now, "NoTraffic", f"{name}: no requests")
            elif name == "latency-p99":
                found[name] = Observation(now, Measured(value, samples))
            else:
                found[name] = Observation(now, Measured(0.0, samples, 0.0))
        return found

    def _state(self, service: Service) -> TargetState:
        replicas, ready = service.replicas, service.ready
        last = self._target
        if last is not None and last.replicas == replicas and last.ready == ready:
            return last
        self._target = TargetState(
            kind="Deployment",
            namespace="shop",
            name="checkout",
            uid="target",
            resource_version="1",
            replicas=replicas,
            ready=ready,
            rolled_out=replicas == ready,
            revision="a",
            revisions=(Revision("a", "checkout-a", 1, _CREATED, replicas, ready),),
            scaled_by=MANAGER,
        )
        return self._target
