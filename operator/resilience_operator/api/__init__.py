"""The ResiliencePolicy resource: its models, its conditions, and the validation of policies.

This package has no I/O and no clock, and imports no other package of the operator.

    quantities    durations and thresholds as people write them
    fields        durations, thresholds and names as fields of a model
    checks        one rule in two forms: for the API server (CEL, schema) and for Python
    target, signals, rules, spec
                  the spec, with a description of each field for `kubectl explain`
    status        the status that the operator writes
    v1alpha1      the whole resource, and `parse_policy`
    invalid       error messages that say what to change
    conditions    condition types, reasons, and how a condition is merged
"""
