// One binary that is kubelet or kube-proxy, after the name it is called by: what makes a real node of this machine.
//
// The two share most of their packages with each other and with the control plane, so that one link is enough and
// Go's build cache does the rest. It is chosen by the name the binary is started under, or by the first argument.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Only the chosen command is constructed: each registers its own feature gates and flags in process-wide tables.
var components = map[string]func() int{
	"kubelet":    runKubelet,
	"kube-proxy": func() int { return cli.Run(proxy.NewProxyCommand()) },
}

// cAdvisor asks containerd which container a cgroup is of. It has a flag for where that listens, which the kubelet does
// not hand on.
func runKubelet() int {
	if socket := os.Getenv("CADVISOR_CONTAINERD"); socket != "" {
		if err := flag.Set("containerd", socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	return cli.Run(kubelet.NewKubeletCommand(context.Background()))
}

func main() {
	if component, known := components[filepath.Base(os.Args[0])]; known {
		os.Exit(component())
	}
	if len(os.Args) > 1 {
		if component, known := components[os.Args[1]]; known {
			os.Args = os.Args[1:]
			os.Exit(component())
		}
	}
	fmt.Fprintln(os.Stderr, "usage: node kubelet|kube-proxy [flags]")
	os.Exit(2)
}
