"""Writes to objects, each with the decision's input as a precondition."""
