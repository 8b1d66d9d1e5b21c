"""The operator process: watches, schedules, evaluates and reports. The only package that knows kopf.

Data flow: watch (`cache`) → schedule (`scheduling`) → collect, decide, act (`evaluation`) → record (`reporting`).
"""
