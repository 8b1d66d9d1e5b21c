"""Executes commands: one file per group of verbs, and the executors of live and dry-run policies.

Actions decide nothing. Before a write, an action checks that the target is still in the state of the decision. If it
is not, the command is Superseded and the next evaluation decides again.
"""
