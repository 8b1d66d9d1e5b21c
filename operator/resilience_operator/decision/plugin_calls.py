"""Calls of action plugins: once for each breach of a rule.

A call is not carried out like the other commands, since nobody may wait for foreign code. It is asked for at every
evaluation until its outcome is remembered; whoever carries it out sees by the key that it is under way. After a crash
it is asked for again under the same key: at least once, and exactly once for a plugin that knows the key again.
"""

from __future__ import annotations

from dataclasses import replace

from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.memory import Memory, RuleMemory
from resilience_operator.decision.model.policy import Policy, Rule


def pending_calls(
    policy: Policy, rule: Rule, memory: RuleMemory, sentence: str, *, dry_run: bool
) -> tuple[Command, ...]:
    """The calls that a rule's breach asks for and that were not made yet. dry_run: those of a dry run count as made."""
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
    """The memory after a call: made, also when it failed. A breach that has begun since asks for a call of its own."""
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
