// Command exec-check makes requests as a kubelet or controller does: a long-lived client of client-go that has its bearer
// token from an exec plugin. It tells what each request carried.
//
// The requests go to a TLS server of its own, which answers with the statuses that it is told. Each request gives one line
// of JSON. It ends with 0 when all were made, whatever was answered, and with 1 when client-go makes none by that kubeconfig.
package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// exchange is one request as it left, below the plugin.
type exchange struct {
	Token  string `json:"token,omitempty"`
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "whose user has an exec block")
	answers := flag.String("answers", "200", "statuses to answer with, with commas between them; the last one is repeated")
	requests := flag.Int("requests", 1, "how many requests one client makes")
	interval := flag.Duration("interval", 0, "pause between two of them")
	flag.Parse()
	if flag.NArg() != 0 || *kubeconfig == "" {
		flag.Usage()
		os.Exit(64)
	}
	if err := run(*kubeconfig, strings.Split(*answers, ","), *requests, *interval); err != nil {
		fmt.Fprintln(os.Stderr, "exec-check:", err)
		os.Exit(1)
	}
}

func run(kubeconfig string, answers []string, requests int, interval time.Duration) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	if config.ExecProvider == nil {
		return errors.New("its user has no exec block")
	}
	server, err := serve(answers)
	if err != nil {
		return err
	}
	defer server.Close()
	config.Host = server.URL
	config.TLSClientConfig = rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	var last exchange
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			last.Token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			return next.RoundTrip(r)
		})
	})
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	for i := range requests {
		if i > 0 {
			time.Sleep(interval)
		}
		last = exchange{}
		answer, err := client.Get(server.URL + "/api")
		if err != nil {
			last.Error = err.Error()
		} else {
			last.Status = answer.StatusCode
			_ = answer.Body.Close()
		}
		if err := json.NewEncoder(os.Stdout).Encode(last); err != nil {
			return err
		}
	}
	return nil
}

// serve answers with those statuses, one after another.
func serve(answers []string) (*httptest.Server, error) {
	var statuses []int
	for _, text := range answers {
		status, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		statuses = append(statuses, status)
	}
	return httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := statuses[0]
		if len(statuses) > 1 {
			statuses = statuses[1:]
		}
		w.WriteHeader(status)
	})), nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
