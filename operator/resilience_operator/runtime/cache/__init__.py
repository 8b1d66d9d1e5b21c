"""What the process knows of the cluster: policies, targets, nodes, sources. Filled by watches and lists."""
