"""`report`: deployments, change failure rate, time to restore and lead time, from the operator's metrics."""
