"""Executes commands: one verb a file, and the executors of live and dry-run policies.

Nothing is decided here. An action reads its target again and checks that it still is what the decision saw before it
writes; when it is not, it is Superseded and the next evaluation decides anew.
"""
