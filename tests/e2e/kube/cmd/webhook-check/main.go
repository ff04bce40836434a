// Command webhook-check asks a token webhook about one token as kube-apiserver does, with no API server around it: what
// the authenticator itself takes from each answer, and how often it asked for it.
//
// The token comes on standard input. Each time that it is judged gives one line of JSON. It ends with 0 when it was judged
// as often as it should be, whatever came of it, and with 1 when there is no authenticator to ask.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"

	"herald.dev/tests/e2e/kube/internal/tokenwebhook"
)

// verdict is what kube-apiserver goes on with, and what passed over HTTP for it.
type verdict struct {
	Authenticated bool                `json:"authenticated"`
	Error         string              `json:"error,omitempty"`
	Username      string              `json:"username,omitempty"`
	UID           string              `json:"uid,omitempty"`
	Groups        []string            `json:"groups,omitempty"`
	Extra         map[string][]string `json:"extra,omitempty"`
	Audiences     []string            `json:"audiences,omitempty"`
	Statuses      []int               `json:"statuses"` // of each answer; 0 where there was none
}

func main() {
	var o tokenwebhook.Options
	o.AddFlags(flag.CommandLine)
	audiences := flag.String("api-audiences", "https://kubernetes.default.svc.cluster.local", "with commas between them")
	repeat := flag.Int("repeat", 1, "how often the token is judged")
	interval := flag.Duration("interval", 0, "pause between two times")
	flag.Parse()
	if flag.NArg() != 0 || o.ConfigFile == "" {
		flag.Usage()
		os.Exit(64)
	}
	if err := run(o, strings.Split(*audiences, ","), *repeat, *interval); err != nil {
		fmt.Fprintln(os.Stderr, "webhook-check:", err)
		os.Exit(1)
	}
}

func run(o tokenwebhook.Options, audiences []string, repeat int, interval time.Duration) error {
	token, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	passed := &statuses{}
	judge, err := o.Authenticator(audiences, passed.wrap)
	if err != nil {
		return err
	}
	for i := range repeat {
		if i > 0 {
			time.Sleep(interval)
		}
		passed.seen = []int{}
		// As the API server's own handlers do for a request of no particular audience.
		ctx := authenticator.WithAudiences(context.Background(), audiences)
		response, ok, err := judge.AuthenticateToken(ctx, strings.TrimSpace(string(token)))
		v := verdict{Authenticated: ok, Statuses: passed.seen}
		if err != nil {
			v.Error = err.Error()
		}
		if ok && response != nil {
			v.Username, v.UID = response.User.GetName(), response.User.GetUID()
			v.Groups, v.Extra, v.Audiences = response.User.GetGroups(), response.User.GetExtra(), response.Audiences
		}
		if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
			return err
		}
	}
	return nil
}

// statuses notes what each request was answered with.
type statuses struct{ seen []int }

func (s *statuses) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		status := 0
		if err == nil {
			status = answer.StatusCode
		}
		s.seen = append(s.seen, status)
		return answer, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
