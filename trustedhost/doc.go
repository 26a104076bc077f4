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
// and others only look like one. "attacker.example/.example.com" ends like a
// listed name, and net/http's HTTP/2 server lets it through as :authority;
// "example.com:99999" begins like one; one HTTP/2 request can name three hosts.
// So the host is first parsed, strictly, and only the result is compared:
//
//   - case and one trailing dot do not matter, IPv6 is compared by value, ports
//     are numbers from 1 to 65535, with leading zeros or empty, as RFC 3986,
//     section 3.2.3, has them
//   - refused are user information, percent-encoding, bytes outside ASCII, zones
//     and IPvFuture, empty labels, labels over 63 octets or with a hyphen at an
//     end, names over 253 octets, xn-- labels that do not decode, and whatever
//     the WHATWG URL standard reads as an IPv4 address unless it has four decimal
//     parts (so 127.1, 0x7f.1, 2130706433)
//   - r.Host, an absolute request target and an HTTP/2 Host field beside
//     :authority must name the same host and port
//   - an absolute target is http or https, with a host and without user
//     information; the target of CONNECT is a host with its port and no more
//
// # What it answers
//
//	listed                          next is called with the request as it came
//	alias in Redirects              308 to the canonical host
//	plain HTTP with RedirectHTTPS   308 to https
//	missing, malformed, conflicting
//	or unlisted host                400, a constant problem+json without the host
//
// A CONNECT request is checked like any other and never redirected.
//
// net/http itself answers some requests before any middleware sees them: on
// HTTP/1 a missing or second Host line and bytes that no Host has, on HTTP/2
// user information in :authority, and "OPTIONS *" of whatever host, unless
// http.Server.DisableGeneralOptionsHandler is set.
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
//	Fly         sends the machine's private address and port ("172.19.0.2:8080").
//	            Exempt the path.
//	AWS ALB     sends an address of the private network, perhaps with a port.
//	            Exempt the path, with ExemptPeers the balancer's subnets.
//	Kubernetes  sends the pod's address and port. Exempt the path, with ExemptPeers
//	            the nodes' network; or give the probe a Host of your own under
//	            httpGet.httpHeaders.
//	HAProxy     sends HTTP/1.0 without Host where the configuration says no more
//	            than "option httpchk GET /health": this passes on an exempt path.
//
// Listing "10.0.0.0/8" for such probes would accept them on every path; an exempt
// path is the smaller hole. With RedirectHTTPS exempt paths still answer
// themselves, so that a probe over plain HTTP sees 200.
//
// # Standards
//
// RFC 9110, sections 4.2 and 7.2 (authority and Host), RFC 9112, section 3.2
// (request target), RFC 9113, section 8.3.1 (:authority), RFC 3986, section
// 3.2.2 (host), RFC 5890 and RFC 3492 (xn-- labels), the WHATWG URL standard's
// host parser, RFC 9457 (the answer).
package trustedhost
