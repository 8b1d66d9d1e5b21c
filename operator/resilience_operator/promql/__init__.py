"""PromQL of policy authors: size limits, syntax tree and tenancy matchers.

Imports nothing else of the operator, so that the parser process (`process`) starts fast and stays small.
"""
