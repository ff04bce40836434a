// Command apiserver runs a small real Kubernetes API server on 127.0.0.1, whose bearer tokens a webhook judges as
// kube-apiserver has them judged, and whose requests RBAC allows.
//
// It leaves certificates and a kubeconfig for each of the people it knows in its folder, and prints one line when it
// serves. It ends on SIGINT, on SIGTERM, and when its standard input ends, so that a test which dies takes it along.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"k8s.io/klog/v2"

	"herald.dev/tests/e2e/kube/internal/apiserver"
)

func main() {
	// Errors are what an operator reads in the log of a kube-apiserver; the rest is left out.
	klog.InitFlags(nil)
	_ = flag.Set("logtostderr", "false")
	_ = flag.Set("stderrthreshold", "ERROR")
	var o apiserver.Options
	flag.StringVar(&o.Dir, "dir", "", "folder for certificates, kubeconfigs and data; a later run goes on where this one stopped")
	flag.IntVar(&o.Port, "port", 0, "port on 127.0.0.1; 0 lets the kernel pick")
	o.Webhook.AddFlags(flag.CommandLine)
	prepare := flag.Bool("prepare", false, "only make certificates and kubeconfigs for -port")
	audiences := flag.String("api-audiences", "https://kubernetes.default.svc.cluster.local", "with commas between them")
	flag.Parse()
	if flag.NArg() != 0 || o.Dir == "" {
		flag.Usage()
		os.Exit(64)
	}
	o.Audiences = strings.Split(*audiences, ",")

	run := serve
	if *prepare {
		run = apiserver.Prepare
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

func serve(o apiserver.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	o.Ready = func(url string) { fmt.Println("serving", url) }
	return apiserver.Run(ctx, o)
}
