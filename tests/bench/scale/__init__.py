"""What the operator costs, and how soon it acts, with ten thousand policies.

On the real API server and a real Prometheus. The Deployments, their ReplicaSets and the policies are real objects;
what has no pods is played: `controller` writes the status that the deployment controller would, `exporter` serves the
series that cAdvisor, kube-state-metrics and the services themselves would. Figures of the operator are of its process
alone, which runs under the shipped ServiceAccount and roles.

* `crowd`       the objects and their names: data only
* `api`         many requests at once, and watches, for the benchmark itself
* `controller`  plays the deployment controller and the kubelets
* `exporter`    a process: serves the series of all Deployments to Prometheus
* `usage`       CPU and memory of processes, from /proc
* `counters`    reading metrics pages, and quantiles of what histograms counted
* `stage`       the cluster, the exporter and the operator, started and stopped
* `window`      what is measured while time passes
* `reaction`    what is measured from an event to its effect
* `parts`       the experiments, one after the other
* `figures`     bounds, and what was measured beside them
* `report`, `plot`  docs/performance.md and its picture
"""
