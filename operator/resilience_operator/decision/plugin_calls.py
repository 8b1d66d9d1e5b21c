"""Calls of action plugins: one for each breach of a rule.

Plugin calls run outside the evaluation, which must not wait for third-party code. A call is requested at every
evaluation until its outcome is in the memory; the runner recognizes a running call by its key. After a crash the call
is repeated with the same key. Delivery is at least once, or exactly once for plugins that deduplicate by key.
"""

from __future__ import annotations

from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.memory import Memory, RuleMemory
from resilience_operator.decision.model.policy import Policy, Rule
from resilience_operator.decision.model.record import replace


def pending_calls(
    policy: Policy, rule: Rule, memory: RuleMemory, sentence: str, *, dry_run: bool
) -> tuple[Command, ...]:
    """Return the calls that a breach requires and that were not made yet. dry_run: simulated calls count as made."""
    breach = memory.breach
    if breach is None:
        return ()
    made = {**memory.called, **memory.called_in_dry_run} if dry_run else memory.called
    return tuple(
        Command(
            Verb.PLUGIN,
            "RuleBreached",
            f"plugin {plugin.name}: {sentence}",
            (rule.name,),
            arguments={
                "plugin": plugin.name,
                "with": dict(plugin.arguments),
                "key": f"{policy.uid}/{rule.name}/{entry}/{breach:.3f}",
                "entry": entry,
                "breach": breach,
            },
        )
        for index, plugin in enumerate(rule.plugins)
        if made.get(entry := f"{index}-{plugin.name}") != breach
    )


def mark_called(memory: Memory, outcome: Outcome) -> Memory:
    """Return the memory after a call. A failed call counts as made; a later breach gets its own call."""
    if outcome.result is Result.SUPERSEDED:
        return memory
    arguments = outcome.command.arguments
    entry, breach = str(arguments["entry"]), arguments["breach"]
    assert isinstance(breach, float)
    rules = dict(memory.rules)
    for name in outcome.command.rules:
        before = rules.get(name) or RuleMemory()
        if outcome.result is Result.DRY_RUN:
            rules[name] = replace(before, called_in_dry_run={**before.called_in_dry_run, entry: breach})
        else:
            rules[name] = replace(before, called={**before.called, entry: breach})
    return replace(memory, rules=rules)
