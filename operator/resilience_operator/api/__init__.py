"""The ResiliencePolicy resource: its models, the CRD made from them, its conditions.

Nothing here does I/O, knows a clock, or imports another part of the package.

    quantities    durations and thresholds as people write them
    fields        durations, thresholds and names as fields of a model
    checks        one rule, told twice: to the API server (CEL, schema) and to Python
    target, signals, rules, spec
                  what a person writes, each field with the sentence that `kubectl explain` shows
    status        what the operator writes
    v1alpha1      the whole resource, and `parse_policy`
    invalid       why a policy is refused, in words that say what to change
    conditions    condition types, reasons, and how a condition is merged
    crd           the CustomResourceDefinition made from the models
"""
