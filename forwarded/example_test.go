package forwarded_test

import (
	"fmt"
	"net/http"
	"net/netip"

	"github.com/gatehouse-go/gatehouse/forwarded"
)

func Example() {
	res, err := forwarded.New(forwarded.Config{
		Proxies:     []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		ProtoHeader: "X-Forwarded-Proto",
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// The client sent "X-Forwarded-For: 127.0.0.1"; two proxies appended.
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:4711"
	r.Host = "shop.example"
	r.Header.Add("X-Forwarded-For", "127.0.0.1, 192.0.2.60")
	r.Header.Add("X-Forwarded-For", "10.0.0.2")
	r.Header.Set("X-Forwarded-Proto", "https")
	fmt.Println(res.ClientIP(r), res.HTTPS(r), res.Host(r))

	// The same from a peer that is no proxy.
	r.RemoteAddr = "203.0.113.66:4711"
	fmt.Println(res.ClientIP(r), res.HTTPS(r), res.Host(r))
	// Output:
	// 192.0.2.60 true shop.example
	// 203.0.113.66 false shop.example
}

// A platform by its name, and the networks of your own proxies from an environment
// variable, with every mistake in them.
func ExampleParsePrefixes() {
	_, err := forwarded.ParsePrefixes("10.0.0.1/8, localhost")
	fmt.Println(err)
	// Output:
	// forwarded: prefixes[0] "10.0.0.1/8": has bits set behind its length; did you mean "10.0.0.0/8", or "10.0.0.1/32" for the one address?
	// forwarded: prefixes[1] "localhost": is not a network; write an address ("192.168.1.5") or a network in CIDR notation ("10.0.0.0/8"), no host name, no brackets
}

func ExamplePlatform() {
	config, err := forwarded.Platform("render")
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := forwarded.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.21.157.68:4711"
	r.Header.Set("X-Forwarded-For", "127.0.0.1, 192.0.2.60, 172.68.1.1")
	fmt.Println(res.ClientIP(r))
	// Output: 192.0.2.60
}

// The classic mistake: the leftmost element is whatever the client sent. A new
// address for each request defeats a rate limit.
func Example_incorrect() {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.Header.Add("X-Forwarded-For", "127.0.0.1") // sent by the client
	r.Header.Add("X-Forwarded-For", "192.0.2.60")
	fmt.Println(r.Header.Get("X-Forwarded-For")) // incorrect
	// Output: 127.0.0.1
}
