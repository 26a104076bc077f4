package trustedhost_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// ask sends a request with this Host and returns the answer.
func ask(h http.Handler, target, host string) string {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if to := w.Header().Get("Location"); to != "" {
		return fmt.Sprint(w.Code, " ", to)
	}
	return fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String()))
}

func Example() {
	hosts, err := trustedhost.New(trustedhost.Config{
		Hosts:       []string{"example.com", "*.example.com"},
		ExemptPaths: []string{"/health"}, // the platform probes with a host of its own
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "https://%s/reset", r.Host) // one of ours; its port is the client's, unless the list names it
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	handler := hosts.Handler(mux)

	fmt.Println(ask(handler, "/", "example.com"))
	fmt.Println(ask(handler, "/", "app.example.com:8443"))
	fmt.Println(ask(handler, "/", "attacker.example"))
	fmt.Println(ask(handler, "/", "example.com:@attacker.example"))
	fmt.Println(ask(handler, "/health", "10.0.3.7:8080"))
	// Output:
	// 200 https://example.com/reset
	// 200 https://app.example.com:8443/reset
	// 400 {"title":"Bad Request","status":400,"detail":"The host of the request is missing, malformed or not served here."}
	// 400 {"title":"Bad Request","status":400,"detail":"The host of the request is missing, malformed or not served here."}
	// 200 ok
}

func ExampleNew_mistakes() {
	_, err := trustedhost.New(trustedhost.Config{
		Hosts:         []string{"https://example.com/", ".example.org", "*.com"},
		Redirects:     map[string]string{"www.example.com": "example.com:443"},
		RedirectHTTPS: true,
	})
	fmt.Println(err)
	// Output:
	// trustedhost: Redirects["www.example.com"] "example.com:443": has a port; a redirect keeps the port of the request
	// trustedhost: Hosts[0] "https://example.com/": has a scheme; did you mean "example.com"?
	// trustedhost: Hosts[1] ".example.org": begins with a dot; did you mean "*.example.org"?
	// trustedhost: Hosts[2] "*.com": would accept a whole top-level domain; list the domains that are yours
}

func ExampleConfig_redirects() {
	hosts, err := trustedhost.New(trustedhost.Config{
		Hosts:         []string{"example.com"},
		Redirects:     map[string]string{"www.example.com": "example.com"},
		RedirectHTTPS: true, // behind a proxy set HTTPS too
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := hosts.Handler(http.NotFoundHandler())
	fmt.Println(ask(handler, "/a?b=c", "www.example.com"))
	fmt.Println(ask(handler, "/a?b=c", "example.com"))
	// Output:
	// 308 https://example.com/a?b=c
	// 308 https://example.com/a?b=c
}

func ExampleConfig_allow() {
	customers := map[string]bool{"shop.customer.example": true} // kept in memory, refreshed elsewhere
	hosts, err := trustedhost.New(trustedhost.Config{
		Hosts: []string{"example.com"},
		Allow: func(_ context.Context, name string) bool { return customers[name] },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hosts.Allowed("Shop.Customer.Example:443"), hosts.Allowed("attacker.example"))
	// Output: true false
}

// A suffix is not a domain, and a string is not a host: this is how the check
// is usually written, and what gets through.
func Example_incorrect() {
	check := func(r *http.Request) bool { return strings.HasSuffix(r.Host, ".example.com") }
	hosts, _ := trustedhost.New(trustedhost.Config{Hosts: []string{"*.example.com"}})
	for _, host := range []string{"app.example.com", "app.EXAMPLE.com", "app.example.com:8443", "attacker.example/.example.com"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host // HTTP/2 carries the last of these as :authority
		fmt.Println(host, check(r), hosts.Check(r) == nil)
	}
	// Output:
	// app.example.com true true
	// app.EXAMPLE.com false true
	// app.example.com:8443 false true
	// attacker.example/.example.com true false
}
