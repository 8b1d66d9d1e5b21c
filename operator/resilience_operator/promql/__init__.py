"""PromQL of policy authors: bounds, syntax tree and tenancy matchers.

Imports nothing of the operator, so that the process that parses (`process`) starts fast and stays small.
"""
