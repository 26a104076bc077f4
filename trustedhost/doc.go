// Package trustedhost refuses requests that are not for one of this server's
// hosts.
//
//	hosts, err := trustedhost.New(trustedhost.Config{
//		Hosts:       []string{"example.com", "*.example.com"},
//		ExemptPaths: []string{"/health"},
//	})
//	if err != nil {
//		return err // every mistake in the Config, at once
//	}
//	handler := hosts.Handler(mux)
//
// # What it stops
//
// The host of a request is a string that the client chooses, and applications
// build on it: links in password mails, redirects, cache keys, the choice of a
// tenant. A forged one sends a victim's reset token to attacker.example, stores
// a poisoned page in a cache, or reaches a tenant that was not meant. With DNS
// rebinding the victim's own browser sends it, to a server on the victim's own
// machine.
//
// A list of hosts alone does not end this, since many strings mean the same host
// and others only look like one: "example.com:@attacker.example" begins with a
// listed name, "attacker.example/.example.com" ends with one (net/http lets both
// through, the second on HTTP/2), and an HTTP/2 request can carry three hosts.
// So the host is first parsed, strictly, and only the result is compared:
//
//   - case and one trailing dot do not matter; IPv6 is compared by value; ports
//     are numbers from 1 to 65535, with leading zeros or empty, as RFC 3986,
//     section 3.2.3, has them
//   - refused are user information, percent-encoding, bytes outside ASCII, zones
//     and IPvFuture, empty labels, labels over 63 octets or with a hyphen at an
//     end, names over 253 octets, xn-- labels that do not decode, and whatever
//     the WHATWG URL standard reads as an IPv4 address unless it is one of four
//     decimal parts (127.1, 0x7f.1, 2130706433)
//   - the target of an absolute-form request, :authority and a Host field must
//     name the same host and port
//
// # What it answers
//
//	listed                          next is called with the request as it came
//	alias in Redirects              308 to the canonical host
//	plain HTTP with RedirectHTTPS   308 to https
//	missing, malformed, conflicting
//	or unlisted host                400, a constant problem+json without the host
//
// net/http itself answers some requests before any middleware sees them: a
// missing or second Host line on HTTP/1.1, bytes that no header may hold, user
// information in :authority, and "OPTIONS *" (unless
// http.Server.DisableGeneralOptionsHandler is set), which it answers for every
// host. A CONNECT request is checked like any other and never redirected.
//
// # What it does not stop
//
// It does not authenticate anybody: a client may send any listed host. It does
// not hold what an xn-- label decodes to against the tables of Unicode, so a few
// names pass the syntax that browsers refuse; the list decides about them as
// about any other. It does not compare the host with the server name of the TLS
// handshake. It knows nothing of public suffixes: do not list "*.co.uk".
//
// # Where it stands
//
// After what logs and hardens every answer, before everything that reads the
// host, costs something or keeps state; outside http.StripPrefix, which hides
// part of the path from redirects.
//
// A request passes with r.Host spelled as the client did, so "EXAMPLE.com." may
// arrive at next, and host patterns of http.ServeMux compare it byte for byte.
// To have the normal form everywhere set
//
//	Host: func(r *http.Request) string { return r.Host },
//
// which costs a copy of the request.
//
// # Health probes
//
// Platforms probe with hosts of their own. Exempt the path, not the host:
//
//	Railway     sends Host: healthcheck.railway.app. Exempt the path, or list
//	            that host; it is Railway's, and no client's to point anywhere.
//	Render      sends the service's own domain, which Hosts holds anyway
//	            ("app.onrender.com" and the custom domains).
//	Fly         sends the machine's private address and port ("172.19.0.2:8080",
//	            "[fdaa::3]:8080"). Exempt the path; or in the check of fly.toml:
//	            headers = { Host = "app.example.com" }.
//	AWS ALB     sends the target's address, and its port unless that is the
//	            default. Exempt the path; with ExemptPeers the subnets of the load
//	            balancer.
//	Kubernetes  sends the pod's address. Exempt the path, with ExemptPeers the
//	            node's network; or in the probe: httpGet.httpHeaders with name Host.
//	HAProxy     sends HTTP/1.0 without Host where "option httpchk GET /health" is
//	            all that is said: this passes on an exempt path too.
//
// Listing "10.0.0.0/8" for such probes would accept them on every path; an exempt
// path is the smaller hole. Where Config.HTTPS redirects, exempt paths still
// answer themselves, so that a probe over plain HTTP sees 200.
//
// # Standards
//
// RFC 9110, sections 4.2 and 7.2 (authority and Host), RFC 9112, section 3.2
// (request target), RFC 9113, section 8.3.1 (:authority), RFC 3986, section
// 3.2.2 (host), RFC 5890 and RFC 3492 (xn-- labels), the WHATWG URL standard's
// host parser, RFC 9457 (the answer).
package trustedhost
