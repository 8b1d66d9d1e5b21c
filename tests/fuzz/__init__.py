"""A fuzz run through a real API server: hostile objects of every watched kind beside policies that must miss nothing.

`python -m tests.fuzz --objects 2000 --seed 1`
"""
