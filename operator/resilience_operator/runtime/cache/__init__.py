"""Informer caches: policies, targets, nodes and metric sources. Filled by watches and lists."""
