// Stands for election on one Lease with client-go's own leaderelection, so that cardinald has somebody to take turns
// with. Prints "leading" and "lost" with the time in milliseconds since 1970, one line each.
//
//	leader --kubeconfig=FILE --namespace=NS --name=LEASE --identity=ID [--lease-duration=15s ...]
//
// SIGTERM releases the Lease (client-go's ReleaseOnCancel) and ends the program.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

func say(what string) { fmt.Printf("%s %d\n", what, time.Now().UnixMilli()) }

func main() {
	kubeconfig := flag.String("kubeconfig", "", "credentials")
	namespace := flag.String("namespace", "", "of the Lease")
	name := flag.String("name", "", "of the Lease")
	identity := flag.String("identity", "", "holderIdentity")
	duration := flag.Duration("lease-duration", 15*time.Second, "as in kube components")
	deadline := flag.Duration("renew-deadline", 10*time.Second, "as in kube components")
	retry := flag.Duration("retry-period", 2*time.Second, "as in kube components")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	client := kubernetes.NewForConfigOrDie(config)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: *namespace, Name: *name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: *identity},
		},
		LeaseDuration:   *duration,
		RenewDeadline:   *deadline,
		RetryPeriod:     *retry,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { say("leading") },
			OnStoppedLeading: func() { say("lost") },
			OnNewLeader:      func(id string) { fmt.Fprintf(os.Stderr, "leader is %s\n", id) },
		},
	})
}
