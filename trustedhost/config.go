package trustedhost

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Config says which hosts this server answers for. The zero Config is an error:
// there is no list that is safe for everybody.
type Config struct {
	// Hosts lists the hosts that are accepted; required, unless Allow is set.
	// Case and one trailing dot do not matter, neither here nor in a request.
	//
	//	"example.com"        the name, with any port or none
	//	"example.com:8443"   the name with this port; ":443" does not match an absent port
	//	"*.example.com"      every subdomain, at any depth; not example.com itself
	//	"*.example.com:8443" the same with this port
	//	"127.0.0.1", "[::1]" an address, with any port; "[::1]:8000" with this one
	//	"10.0.0.0/8"         the addresses of a network, with any port
	//	"*"                  every well-formed host; only as the sole entry
	//
	// Where an entry names no port, the client chooses it, and r.Host at next has
	// it: list the port, or take the host for links from your configuration, where
	// a stranger could answer on another port of the same name.
	//
	// An entry is as wide as who can get a name in it: "*.example.com" trusts
	// everybody who can point a host of example.com at this server, and "*" turns
	// the list off. With "*" only the syntax is checked: use it where a proxy in
	// front checks the host, and nowhere else. A name with an underscore is
	// accepted only where it is listed itself.
	Hosts []string

	// Allow is asked about a name that Hosts does not hold, for hosts that are
	// not known at start-up, such as customers' own domains. The name is
	// normalised (lower case, no port, no trailing dot); addresses, names with an
	// underscore and malformed hosts are refused without asking. Nil allows
	// none.
	//
	// It is asked before any rate limit and by anybody: it must answer from
	// memory. A query for each request lets a stranger spend your database on
	// names that do not exist. For a list that changes now and then SetHosts is
	// simpler. It is called by many goroutines at once.
	Allow func(ctx context.Context, name string) bool

	// Host tells the host that the client asked for, where it is not the
	// request's own: behind a proxy that replaces Host, use the Host method of a
	// forwarded.Resolver. The next handler then gets a copy of the request whose
	// r.Host is the validated value in its normal form, so that nothing behind
	// can see another one. Nil is the request's own authority.
	//
	// The attack it must not open: a header that the proxy does not overwrite is
	// the client's to choose.
	Host func(*http.Request) string

	// ExemptPaths are the paths on which every well-formed host is accepted, for
	// platforms that probe with a host of their own ("/health"). Compared with
	// the whole decoded path; GET and HEAD only. A host with wrong syntax is
	// refused on them too; an HTTP/1.0 request without Host passes. Nothing
	// served there may depend on the host. Empty exempts none.
	ExemptPaths []string

	// ExemptPeers limits the exemption to peers in these networks: the address
	// that the connection comes from (r.RemoteAddr), not one from a header. Empty
	// is every peer, since most platforms do not promise where they probe from.
	ExemptPeers []netip.Prefix

	// Redirects sends alias hosts to their canonical host with 308: the key
	// "www.example.com" and the value "example.com", or the other way round. The
	// port, path and query of the request are kept. An alias need not be in
	// Hosts; a target must be, without a port, and must not be an alias itself.
	// Neither is a pattern and neither has a port. Exempt paths do not redirect.
	Redirects map[string]string

	// RedirectHTTPS answers a request that came without TLS with 308 to https on
	// the same host, after the host has been checked; not on exempt paths. The
	// port is kept, except 80. Behind a proxy that ends TLS it needs HTTPS: else
	// every request is redirected to itself for ever. It cannot be used with "*",
	// where the client would choose where the redirect leads.
	RedirectHTTPS bool

	// HTTPS tells whether the client came by https; it decides the scheme of
	// redirects. Behind a proxy use the HTTPS method of a forwarded.Resolver. Nil
	// is r.TLS != nil.
	HTTPS func(*http.Request) bool

	// OnReject answers a refused request in place of this package. It must not repeat the host to the
	// client: what comes back from a forged host is what cache poisoning is made
	// of. Nil answers 400 with a constant problem+json.
	OnReject func(http.ResponseWriter, *http.Request, *RejectError)
}

// aliases parses Redirects, in the order of their names so that the mistakes
// come in the same order each time.
func (c *Config) aliases(bad *mistakes.List) map[Host]Host {
	out := make(map[Host]Host, len(c.Redirects))
	for _, alias := range slices.Sorted(maps.Keys(c.Redirects)) {
		target := c.Redirects[alias]
		field := "Redirects[" + strconv.Quote(alias) + "]"
		from, ok := bareHost(bad, field, alias)
		to, ok2 := bareHost(bad, field, target)
		if !ok || !ok2 {
			continue
		}
		if _, twice := out[from]; twice {
			bad.Add(field, alias, "is the same host as another alias; keep one")
		}
		out[from] = to
	}
	return out
}

func bareHost(bad *mistakes.List, field, s string) (Host, bool) {
	h, err := ParseHost(s)
	switch {
	case err != nil:
		bad.Add(field, s, "%s", explain(s, err))
	case h.HasPort:
		bad.Add(field, s, "has a port; a redirect keeps the port of the request")
	default:
		return h, true
	}
	return Host{}, false
}

// compile builds the table of a list, with the aliases put in.
func compile(bad *mistakes.List, hosts []string, aliases map[Host]Host) *table {
	t := newTable()
	for i, s := range hosts {
		if s == "*" && len(hosts) == 1 {
			t.all = true
		} else if mistake := t.add(s); mistake != "" {
			bad.Add("Hosts["+strconv.Itoa(i)+"]", s, "%s", mistake)
		}
	}
	if bad.Len() > 0 {
		return nil // whether a target is listed cannot be told
	}
	for from, to := range aliases {
		t.exact(from).alias = &to
	}
	for _, from := range slices.SortedFunc(maps.Keys(aliases), compareHosts) {
		to := aliases[from]
		field := "Redirects[" + strconv.Quote(from.String()) + "]"
		if alias, ok := t.match(to.authority()); alias != nil {
			bad.Add(field, to.String(), "is an alias itself, so that the redirects follow each other or never end; name the final host")
		} else if !ok {
			bad.Add(field, to.String(), "is not in Hosts for every port, so that the redirect would lead to a refusal; add it there without a port")
		}
	}
	return t
}

// exemption compiles ExemptPaths and ExemptPeers.
func (c *Config) exemption(bad *mistakes.List) exemption {
	e := exemption{paths: make(map[string]bool, len(c.ExemptPaths)), peers: slices.Clone(c.ExemptPeers)}
	for i, p := range c.ExemptPaths {
		field := "ExemptPaths[" + strconv.Itoa(i) + "]"
		switch {
		case !strings.HasPrefix(p, "/"):
			bad.Add(field, p, "is no path; it begins with a slash: \"/health\"")
		case strings.ContainsAny(p, "?#%*"):
			bad.Add(field, p, "has a ?, #, * or percent sign; a path is compared whole and decoded, without its query")
		}
		e.paths[p] = true
	}
	for i, p := range c.ExemptPeers {
		field := "ExemptPeers[" + strconv.Itoa(i) + "]"
		switch {
		case !p.IsValid():
			bad.Add(field, "", "is the zero netip.Prefix; use netip.MustParsePrefix or remove it")
		case p.Addr().Is4In6():
			bad.Add(field, p.String(), "is IPv4 written as IPv6 and would match no peer; write it as IPv4")
		case p != p.Masked():
			bad.Add(field, p.String(), "has bits set behind its length; did you mean %q?", p.Masked())
		}
	}
	if len(c.ExemptPeers) > 0 && len(c.ExemptPaths) == 0 {
		bad.Add("ExemptPeers", "", "is set without ExemptPaths, so that it exempts nothing; set the paths or remove it")
	}
	return e
}
