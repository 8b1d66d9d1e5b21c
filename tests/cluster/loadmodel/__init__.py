"""The load model: the traffic that pods on simulated nodes do not have, and the metrics it would leave
behind.

Pods on KWOK nodes run no process. This package watches them through the API and exports, for a real
Prometheus to scrape, what cAdvisor, kube-state-metrics and an HTTP service, ingress or mesh would export
about them.

* `queueing`    pure: how long requests take, as a law of probability
* `settings`    what a test can set, and how workload and image settings combine (pydantic)
* `behaviour`   pure: offered load and settings -> what one pod does now (CPU, latency law, errors)
* `layouts`     the histogram bucket bounds of each metrics family, and the shares of a law in them
* `objects`     the few fields of Kubernetes objects that matter here, read from JSON
* `engine`      integrates behaviour over time into counters; holds the state, does no I/O
* `families`    the exact names and labels of each metrics family
* `exposition`  renders counters as Prometheus text
* `pods`        lists and watches the API server
* `server`      HTTP: /metrics, /control, /state, /healthz
* `client`      what tests and demonstrations use to drive it

No decision of the operator and no assertion of a test belongs here.
"""
