// One binary that is helm or kubectl, after the name it is called by: what people install with, for the tests that
// install. The two share most of their packages with each other and with the control plane.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	helm "helm.sh/helm/v4/pkg/cmd"
	helmkube "helm.sh/helm/v4/pkg/kube"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
)

func runHelm() int {
	// The field manager would otherwise be named after the binary's file.
	helmkube.ManagedFieldsManager = "helm"
	command, err := helm.NewRootCmd(os.Stdout, os.Args[1:], helm.SetupLogging)
	if err == nil {
		err = command.Execute()
	}
	var failed helm.CommandError
	switch {
	case errors.As(err, &failed):
		return failed.ExitCode
	case err != nil:
		return 1
	}
	return 0
}

func runKubectl() int {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // prints it and exits
	}
	return 0
}

func main() {
	switch filepath.Base(os.Args[0]) {
	case "helm":
		os.Exit(runHelm())
	case "kubectl":
		os.Exit(runKubectl())
	}
	fmt.Fprintln(os.Stderr, "call it by a link named helm or kubectl")
	os.Exit(2)
}
