"""The whole system under random harm: `python -m tests.chaos --minutes 10 --policies 200 --seed 1`.

Real parts with proxies between them. While loads change and good and bad releases are made, the wire is broken and
parts are killed and restarted, all from one seed. Invariants are checked all the while against the API server itself,
and in the end, when the harm stops, everything has to come to rest.

    crowd       the targets and their policies, and what happens to them (load, releases)
    harm        what is broken, for how long
    witness     watches the cluster from the side, past the proxies, and writes down what changed
    invariants  what must hold of that
    run         puts it together; used by the command, and for a minute by `tests/e2e/test_chaos.py`
"""
