package trustedhost

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

// A table is the compiled form of Hosts and Redirects. It is never changed
// after compile, so requests read it without a lock.
type table struct {
	all   bool // the list is "*"
	names map[string]*rule
	nets  map[netip.Prefix]*rule
	// The lengths of the names that have a rule for themselves, and of those that
	// have one for what is below: most lookups that would find nothing are not
	// made.
	self, below [256]bool
	// The lengths of the prefixes in nets: one lookup for each of these, however
	// many prefixes there are.
	bits4, bits6 []int
}

// A rule is what the list says of one name or one network.
type rule struct {
	self  ports // the name itself; every address of the network
	below ports // its subdomains, at any depth
	alias *Host // the name itself redirects there
}

// ports are those a pattern gave. The zero value allows none.
type ports struct {
	any  bool
	list []uint16
}

func (p *ports) add(h Host) {
	if !h.HasPort {
		p.any = true
	} else if !slices.Contains(p.list, h.Port) {
		p.list = append(p.list, h.Port)
	}
}

// has tells whether a matches. A missing port is none (0, which is in no list),
// not the scheme's default: behind a proxy nobody here knows the scheme for
// certain.
func (p *ports) has(a *hostport.Authority) bool {
	return p.any || slices.Contains(p.list, a.Port)
}

// listed tells whether s is, byte for byte, a name that the list holds for any
// port. That is what nearly every request carries, and a name in the table is
// known to be well-formed: no need to parse it again.
func (t *table) listed(s string) bool {
	if len(s) >= len(t.self) || !t.self[len(s)] {
		return false
	}
	r := t.names[s]
	return r != nil && r.self.any && r.alias == nil
}

// match tells whether the list holds a, and where its host redirects to.
func (t *table) match(a *hostport.Authority) (alias *Host, ok bool) {
	switch {
	case a.Name == "":
		return t.matchAddr(a)
	case a.Upper:
		var buf [253]byte // a copy in lower case that stays on the stack
		name := buf[:copy(buf[:], a.Name)]
		for i, c := range name {
			if 'A' <= c && c <= 'Z' {
				name[i] = c | 0x20
			}
		}
		return matchName(t, name, a)
	}
	return matchName(t, a.Name, a)
}

// matchName looks up the name and then every parent of it: at most 126 of them,
// since a name has no more than 253 octets. A lookup with string(bytes) does
// not allocate.
func matchName[T string | []byte](t *table, name T, a *hostport.Authority) (alias *Host, ok bool) {
	if t.self[len(name)] {
		if r := t.names[string(name)]; r != nil {
			alias, ok = r.alias, r.self.has(a)
		}
	}
	if ok || a.Underscore { // an underscore only where it is listed exactly
		return alias, ok
	}
	for i := range len(name) {
		if name[i] == '.' && t.below[len(name)-i-1] {
			if r := t.names[string(name[i+1:])]; r != nil && r.below.has(a) {
				return alias, true
			}
		}
	}
	return alias, t.all
}

func (t *table) matchAddr(a *hostport.Authority) (alias *Host, ok bool) {
	bits := t.bits4
	if a.Addr.Is6() {
		bits = t.bits6
	}
	for _, n := range bits {
		p, _ := a.Addr.Prefix(n)
		if r := t.nets[p]; r != nil {
			if r.alias != nil {
				alias = r.alias
			}
			ok = ok || r.self.has(a)
		}
	}
	return alias, ok || t.all
}

func newTable() *table {
	return &table{names: map[string]*rule{}, nets: map[netip.Prefix]*rule{}}
}

// name returns the rule for a name, net the one for a network, new if need be.
func (t *table) name(s string) *rule { return ruleFor(t.names, s) }

func (t *table) net(p netip.Prefix) *rule {
	bits := &t.bits6
	if p.Addr().Is4() {
		bits = &t.bits4
	}
	if !slices.Contains(*bits, p.Bits()) {
		*bits = append(*bits, p.Bits())
	}
	return ruleFor(t.nets, p)
}

func ruleFor[K comparable](m map[K]*rule, k K) *rule {
	r := m[k]
	if r == nil {
		r = new(rule)
		m[k] = r
	}
	return r
}

// exact returns the rule for the host itself, without its port.
func (t *table) exact(h Host) *rule {
	if h.Addr.IsValid() {
		return t.net(netip.PrefixFrom(h.Addr, h.Addr.BitLen()))
	}
	t.self[len(h.Name)] = true
	return t.name(h.Name)
}

// add puts one entry of Hosts into the table. It returns what is wrong with the
// entry and how to repair it, "" if nothing is.
func (t *table) add(s string) (mistake string) {
	if strings.Contains(s, "/") {
		return t.addNet(s)
	}
	parent, below := strings.CutPrefix(s, "*.")
	h, err := ParseHost(parent)
	if err != nil {
		return explain(s, err)
	}
	if !below {
		t.exact(h).self.add(h)
		return ""
	}
	switch {
	case h.Addr.IsValid():
		return "has a wildcard before an address; list a network, like \"10.0.0.0/8\""
	case strings.Contains(h.Name, "_"):
		return "has an underscore in a wildcard; a name with one is accepted only where it is listed itself"
	case !strings.Contains(h.Name, ".") && h.Name != "localhost":
		return "would accept a whole top-level domain; list the domains that are yours"
	}
	t.name(h.Name).below.add(h)
	t.below[len(h.Name)] = true
	return ""
}

func (t *table) addNet(s string) (mistake string) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return explain(s, err)
	case p != p.Masked():
		return "has bits set behind its length; did you mean \"" + p.Masked().String() + "\"?"
	}
	t.net(p).self.any = true
	return ""
}
