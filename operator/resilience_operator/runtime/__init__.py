"""The process: watching, scheduling, evaluating, telling. The only place that knows kopf.

watch (handlers, store, targets) → scheduler → reconcile: collect → decide → act → record.
"""
