package forwarded

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Config says which proxies stand in front of the server and what they report.
// The zero Config trusts nobody: the peer is the client, r.TLS and r.Host are what
// they are. That is secure, and right without a proxy.
//
// Proxies, Hops and Header are alternatives, except that Proxies beside Hops or
// Header is the check of the peer.
type Config struct {
	// Proxies are the networks of the peers whose headers are believed, and,
	// unless Hops or Header is set, of all the proxies that the chain is walked
	// past, from the right. Empty: no peer is believed (but see
	// InsecureAnyPeer).
	//
	// Host bits must be zero. 0.0.0.0/0 and ::/0 are refused: who trusts every
	// address walks the chain to its leftmost element, which the client wrote.
	// IPv4 networks are written as IPv4, not as ::ffff:a.b.c.d. Any number of
	// prefixes costs one binary search per address. [ParsePrefixes] reads them
	// from an environment variable.
	Proxies []netip.Prefix

	// Hops is the number of proxies, at most 32, that each append one element to
	// the chain; the client is the element that far from the right. 0: not used.
	// A chain shorter than Hops gives the peer.
	//
	// One too many and every client can choose its address; one too few and all
	// clients share the address of a proxy. Without Proxies it needs
	// InsecureAnyPeer.
	Hops int

	// Header names a header in which the platform's edge reports the client's one
	// address: "X-Real-IP", "Fly-Client-IP", "CF-Connecting-IP". Empty: not used.
	// The edge must overwrite what the client sent. Two lines, or a list, are not
	// its work: they give the peer. Without Proxies it needs InsecureAnyPeer.
	Header string

	// RFC7239 reads the chain from Forwarded instead of X-Forwarded-For. All
	// proxies must write it: one that does not know Forwarded passes on what the
	// client wrote.
	RFC7239 bool

	// ProtoHeader names the header that reports the client's scheme, as a rule
	// "X-Forwarded-Proto". Empty: HTTPS is r.TLS != nil. Name it only where the
	// proxy overwrites it: one that passes it on lets a client without TLS be
	// taken for one with it, and so past RedirectHTTPS.
	//
	// Of several values the last one counts, the nearest proxy's: further left
	// is what the client may have sent. Behind two proxies with plain HTTP
	// between them, the inner one must pass on what the outer one wrote.
	//
	// "Forwarded", with RFC7239, takes the proto parameter of the element that
	// names the client: what the outermost trusted proxy saw.
	ProtoHeader string

	// HostHeader names the header that reports the host the client asked for, as
	// a rule "X-Forwarded-Host". Empty: r.Host, which is right behind every proxy
	// that keeps Host. Name it only where the proxy overwrites it: a server that
	// believes a client's X-Forwarded-Host writes the attacker's host into
	// password-reset links and caches.
	//
	// The last value counts, and "Forwarded" works, as for ProtoHeader. The host
	// is checked for syntax, not against a list: that is trustedhost's work.
	HostHeader string

	// InsecureAnyPeer believes the headers whoever the peer is: for platforms
	// where nothing but their edge can reach the port, and for Unix-domain
	// sockets. Anyone else who reaches the port (a neighbour in the private
	// network, a port published by mistake, a health checker) forges address,
	// scheme and host with one header. It cannot stand beside Proxies.
	InsecureAnyPeer bool
}

// The bounds of what is looked at in a request.
const (
	maxElements = 32  // of a chain, empty ones included
	maxElement  = 512 // bytes of one element: for, by, host and proto at their longest fit
)

const (
	headerForwarded = "Forwarded"
	headerXFF       = "X-Forwarded-For"
)

// New checks the Config and compiles it. It returns every mistake at once, as
// *gatehouse.ConfigError values under [errors.Join].
func New(c Config) (*Resolver, error) {
	m := mistakes.In("forwarded")
	checkProxies(m, c.Proxies)
	checkPolicy(m, c)
	checkTrust(m, c)
	single := checkName(m, "Header", c.Header)
	if single == headerXFF || single == headerForwarded {
		m.Add("Header", c.Header, "is a chain that the client can begin, not one address: leave Header empty and set Proxies or Hops (and RFC7239 for Forwarded)")
	}
	proto := checkReport(m, c, "ProtoHeader", c.ProtoHeader)
	host := checkReport(m, c, "HostHeader", c.HostHeader)
	if proto != "" && proto == host && proto != headerForwarded {
		m.Add("HostHeader", c.HostHeader, "is the ProtoHeader too; a header reports a scheme or a host")
	}
	if err := m.Err(); err != nil {
		return nil, err
	}
	v := &Resolver{
		proxies: compile(c.Proxies), anyPeer: c.InsecureAnyPeer,
		hops: c.Hops, single: single, chain: headerXFF, rfc7239: c.RFC7239,
		proto: proto, host: host,
	}
	if c.RFC7239 {
		v.chain = headerForwarded
	}
	return v, nil
}

func checkProxies(m *mistakes.List, proxies []netip.Prefix) {
	for i, p := range proxies {
		field, value := "Proxies["+strconv.Itoa(i)+"]", ""
		if p.IsValid() {
			value = p.String()
		}
		if reason := badPrefix(p); reason != "" {
			m.Add(field, value, "%s", reason)
		} else if p.Bits() == 0 {
			m.Add(field, value, "trusts every address, so the client could forge the whole chain: list the networks of the proxies; where they have no known address, set Hops or Header and InsecureAnyPeer")
		}
	}
}

// badPrefix says what is wrong with a prefix and how to repair it.
func badPrefix(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "is not a network; make it with netip.MustParsePrefix or ParsePrefixes"
	case p.Addr().Is4In6() && p.Bits() >= 96:
		v4 := netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
		return "is an IPv4 network written as IPv6, which no IPv4 address is in; did you mean \"" + v4.String() + "\"?"
	case p != p.Masked():
		return "has bits set behind its length; did you mean \"" + p.Masked().String() + "\", or \"" + p.Addr().String() + "/" + strconv.Itoa(p.Addr().BitLen()) + "\" for the one address?"
	}
	return ""
}

func checkPolicy(m *mistakes.List, c Config) {
	if c.Hops < 0 || c.Hops > maxElements {
		m.Add("Hops", strconv.Itoa(c.Hops), "is not between 0 and %d: it is the number of proxies in front of the server", maxElements)
	}
	if c.Hops != 0 && c.Header != "" {
		m.Add("Hops", strconv.Itoa(c.Hops), "stands beside Header, and they are alternatives: keep the one that the platform documents")
	}
	if !c.RFC7239 {
		return
	}
	if c.Header != "" {
		m.Add("RFC7239", "", "stands beside Header, and they are alternatives: Forwarded is a chain, Header holds one address")
	} else if len(c.Proxies) == 0 && c.Hops == 0 {
		m.Add("RFC7239", "", "says where the chain is read, not how far it is believed: set Proxies or Hops too")
	}
}

// checkTrust sees to it that whoever believes a header says from whom.
func checkTrust(m *mistakes.List, c Config) {
	believes := c.Hops != 0 || c.Header != "" || c.ProtoHeader != "" || c.HostHeader != ""
	switch {
	case c.InsecureAnyPeer && len(c.Proxies) > 0:
		m.Add("InsecureAnyPeer", "", "contradicts Proxies: remove it to believe those peers only, which is safer")
	case c.InsecureAnyPeer && !believes:
		m.Add("InsecureAnyPeer", "", "has no header to believe: set Hops, Header, ProtoHeader or HostHeader, or remove it")
	case !c.InsecureAnyPeer && len(c.Proxies) == 0 && believes:
		m.Add("Proxies", "", "is empty, so any peer could forge the headers: list the networks of the proxies, or set InsecureAnyPeer where nothing but the platform's edge can reach the port")
	}
}

// checkName returns the name as net/http spells it in a request.
func checkName(m *mistakes.List, field, name string) string {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case name == "":
		return ""
	case !headervalue.IsToken(name):
		m.Add(field, name, "is not a header name, such as \"X-Real-IP\"")
	case canonical == "Host":
		m.Add(field, name, "is what the client asked for, not what a proxy reports; leave it empty for r.Host")
	}
	return canonical
}

func checkReport(m *mistakes.List, c Config, field, name string) string {
	canonical := checkName(m, field, name)
	switch {
	case canonical == "":
	case canonical == headerForwarded && !c.RFC7239:
		m.Add(field, name, "needs RFC7239: the parameter is taken from the element that names the client")
	case canonical == headerXFF || canonical == http.CanonicalHeaderKey(c.Header):
		m.Add(field, name, "holds addresses; did you mean %q?", map[string]string{"ProtoHeader": "X-Forwarded-Proto", "HostHeader": "X-Forwarded-Host"}[field])
	}
	return canonical
}

// compile sorts the prefixes and drops those inside another one, so that at most
// one of them can hold an address: the last that begins at or before it.
func compile(proxies []netip.Prefix) []netip.Prefix {
	sorted := slices.SortedFunc(slices.Values(proxies), netip.Prefix.Compare)
	disjoint := sorted[:0]
	for _, p := range sorted {
		if n := len(disjoint); n == 0 || !disjoint[n-1].Overlaps(p) {
			disjoint = append(disjoint, p)
		}
	}
	return disjoint
}

// ParsePrefixes reads the networks of an environment variable:
//
//	TRUSTED_PROXIES="10.0.0.0/8, 192.168.1.5, 2001:db8::/32"
//
// They are separated by commas, with spaces as you like; an address alone is the
// network of that one address. An empty string gives none. Every mistake is
// returned at once, as *gatehouse.ConfigError values whose Field is "prefixes[i]":
// a host name, a port, host bits ("10.0.0.1/8" may mean the network or the
// machine), a zone, an empty entry, an IPv4 network written as IPv6.
func ParsePrefixes(s string) ([]netip.Prefix, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	m := mistakes.In("forwarded")
	var out []netip.Prefix
	for i, entry := range strings.Split(s, ",") {
		entry = strings.TrimSpace(entry)
		p, reason := parsePrefix(entry)
		if reason == "" {
			out = append(out, p)
			continue
		}
		m.Add("prefixes["+strconv.Itoa(i)+"]", entry, "%s", reason)
	}
	if err := m.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

func parsePrefix(s string) (netip.Prefix, string) {
	switch {
	case s == "":
		return netip.Prefix{}, "is empty: remove the comma too many"
	case strings.ContainsAny(s, " \t\r\n;"):
		return netip.Prefix{}, "holds more than one network: separate them with commas"
	case strings.Contains(s, "%"):
		return netip.Prefix{}, "has a zone, which networks have not: remove it from the % on"
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		p := netip.PrefixFrom(addr, addr.BitLen())
		return p, badPrefix(p)
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, badPrefix(p)
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.Prefix{}, "has a port; did you mean \"" + ap.Addr().String() + "\"?"
	}
	return netip.Prefix{}, "is not a network; write an address (\"192.168.1.5\") or a network in CIDR notation (\"10.0.0.0/8\"), no host name, no brackets"
}
