// kubeadm, which makes a control plane of a node of kind.
package main

import (
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/errors"
)

func main() {
	errors.HandleError(kubeadm.Run())
}
