package forwarded

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

// A Resolver tells who the client of a request is. Make it with [New]; the zero
// Resolver trusts nobody. It is immutable and safe for concurrent use; its methods read the request and change
// nothing. They work on the request as the server received it: call them before a
// middleware that rewrites RemoteAddr or the headers.
type Resolver struct {
	proxies []netip.Prefix // sorted and disjoint: see compile
	anyPeer bool
	hops    int
	single  string // canonical name of Config.Header, or ""
	chain   string // canonical name of the header that holds the chain
	rfc7239 bool
	proto   string // canonical, or ""
	host    string // canonical, or ""
}

// ClientIP returns the client's address: the one that the nearest trusted proxies
// report, by the policy of the [Config]; else the peer's.
//
// An IPv4-mapped IPv6 address is returned as IPv4, and none has a zone. The result
// is the invalid netip.Addr only where the peer has no address and no header names
// one: on a Unix-domain socket, or where a test left RemoteAddr empty. Treat it as
// one more client, not as a client that is exempt.
func (v *Resolver) ClientIP(r *http.Request) netip.Addr {
	addr, _ := v.resolve(r)
	return addr
}

// HTTPS tells whether the client's own connection is encrypted: what a trusted
// proxy says in Config.ProtoHeader ("https", or "wss", which some proxies write
// for WebSockets, in any case), and r.TLS != nil where none is to be believed or
// none says anything.
func (v *Resolver) HTTPS(r *http.Request) bool {
	if v.proto == "" {
		return r.TLS != nil
	}
	proto := v.reported(r, v.proto, element.protoOf)
	if proto == "" {
		return r.TLS != nil
	}
	return strings.EqualFold(proto, "https") || strings.EqualFold(proto, "wss")
}

// Host returns the host[:port] that the client asked for: what a trusted proxy
// says in Config.HostHeader, and r.Host where none is to be believed, none says
// anything, or what it says is no host. It is not normalised, and r.Host is not
// even checked: give this method to trustedhost as Config.Host, and put no other
// host than the one it lets through into links, redirects and cache keys.
func (v *Resolver) Host(r *http.Request) string {
	if v.host == "" {
		return r.Host
	}
	host := v.reported(r, v.host, element.hostOf)
	if _, err := hostport.Parse(host); err != nil {
		return r.Host
	}
	return host
}

// reported returns what the named header says, "" unless it is to be believed.
func (v *Resolver) reported(r *http.Request, header string, param func(element) string) string {
	if header == headerForwarded {
		_, e := v.resolve(r)
		return param(e)
	}
	lines := r.Header[header]
	if len(lines) == 0 || !v.believes(peer(r)) {
		return ""
	}
	// The last value is the nearest proxy's. If it is empty, that is what the
	// proxy said: the one before it may be the client's.
	_, last, _, _ := cutLast(lines[len(lines)-1], false)
	return trim(last)
}

// peer is the address of the other end of the connection, invalid if it has none.
func peer(r *http.Request) netip.Addr {
	addr, _ := parseNode(r.RemoteAddr, false)
	return addr
}

// believes tells whether the peer's headers count.
func (v *Resolver) believes(peer netip.Addr) bool {
	return v.anyPeer || v.trusted(peer)
}

// trusted tells whether an address is inside Config.Proxies. The invalid one is not.
func (v *Resolver) trusted(a netip.Addr) bool {
	i, exact := slices.BinarySearchFunc(v.proxies, a, func(p netip.Prefix, a netip.Addr) int {
		return p.Addr().Compare(a)
	})
	return exact || i > 0 && v.proxies[i-1].Contains(a)
}

// resolve returns the client's address, and the element of the chain that a
// trusted proxy wrote about the client's connection: it has the proto and the
// host of RFC 7239 even where it hides the address.
func (v *Resolver) resolve(r *http.Request) (netip.Addr, element) {
	peer := peer(r)
	switch {
	case !v.believes(peer):
		return peer, element{}
	case v.single != "":
		return one(r.Header[v.single], peer), element{}
	case v.hops > 0:
		return nth(v.chainOf(r), v.hops, peer)
	case len(v.proxies) > 0:
		return v.walk(v.chainOf(r), peer)
	}
	return peer, element{}
}

func (v *Resolver) chainOf(r *http.Request) chain {
	return chain{lines: r.Header[v.chain], rfc7239: v.rfc7239}
}

// one is the policy of a single header.
func one(lines []string, peer netip.Addr) netip.Addr {
	if len(lines) != 1 || len(lines[0]) > maxElement {
		return peer
	}
	if addr, _ := parseNode(trim(lines[0]), false); addr.IsValid() {
		return addr
	}
	return peer
}

// nth is the policy of a known number of proxies. Elements on the way are only
// counted, not compared with anything; but if one of them is garbage, so is the
// count.
func nth(c chain, hops int, peer netip.Addr) (netip.Addr, element) {
	for range hops - 1 {
		if _, ok := c.next(); !ok {
			return peer, element{}
		}
	}
	e, _ := c.next()
	if !e.addr.IsValid() {
		return peer, e
	}
	return e.addr, e
}

// walk is the policy of trusted networks. It begins at a trusted peer. What the
// machine at a trusted address wrote is believed, and the next element to the left
// is what it wrote; so the walk goes on as long as the addresses are trusted.
func (v *Resolver) walk(c chain, peer netip.Addr) (netip.Addr, element) {
	client, last := peer, element{}
	for v.trusted(client) {
		e, ok := c.next()
		if !ok {
			break
		}
		last = e
		if !e.addr.IsValid() {
			break // hidden or unknown
		}
		client = e.addr
	}
	return client, last
}
