"""A Kubernetes cluster of real parts on loopback, for tests, benchmarks and the demo.

A policy is only as good as the API server it talks to, so nothing here is a stand-in: etcd, kube-apiserver,
kube-controller-manager, kube-scheduler and Prometheus are the released ones. Only the kubelets are simulated, by
KWOK. From the shell: ``python -m tests.cluster up``; from Python: ``up(Options(...))`` and the ``Cluster`` it returns.

What may not live here: knowledge of the operator. The cluster must be able to prove the operator wrong.
"""

from tests.cluster.cluster import Cluster, down, up
from tests.cluster.failure import ClusterError
from tests.cluster.kubeconfig import write_kubeconfig
from tests.cluster.settings import Options, Ports

__all__ = ["Cluster", "ClusterError", "Options", "Ports", "down", "up", "write_kubeconfig"]
