"""Carrying commands out: one verb a file, and the executors that choose between doing and rehearsing.

Nothing is decided here. An action reads its target again and checks that it still is what the decision saw before it
writes; when it is not, it is Superseded and the next evaluation decides anew.
"""
