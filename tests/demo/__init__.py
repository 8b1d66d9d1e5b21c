"""The main job, from nothing to the end, in front of whoever runs it: `make demo`, or `python -m tests.demo`.

It is a test as well: each act ends with a list of what must have happened, read from the API, and what did not is
told and makes it fail. Nothing here waits for a time; everything waits for a state, up to a limit an act.

`stage` brings up the cluster and the operator, `view` reads how things are, `screen` shows it, `act` runs one act,
`story` has the four, `ending` the tables that are left at the end.
"""
