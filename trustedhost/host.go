package trustedhost

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

// Host is a parsed and normalised authority: what two spellings of the same
// host and port have in common. Hosts can be compared with ==.
type Host struct {
	// Name is the registered name in lower case, without the trailing dot of the
	// DNS root; "" for an address literal.
	Name string
	// Addr is the address literal, invalid for a name. IPv6 is compared by
	// value; ::ffff:127.0.0.1 is an IPv6 address and not 127.0.0.1.
	Addr netip.Addr
	// Port is 1 to 65535 where HasPort, else 0.
	Port uint16
	// HasPort is false also for an empty port ("example.com:").
	HasPort bool
}

// ParseHost reads the host and port of an HTTP authority (RFC 9110, section
// 7.2) as strictly as this package does for every request: see the package
// comment for what it refuses. Its errors are constants that hold none of the
// input, and a string of any length is refused without an allocation.
func ParseHost(s string) (Host, error) {
	a, err := hostport.Parse(s)
	if err != nil {
		reason, _ := err.(hostport.Error) //nolint:errorlint // never wrapped, and errors.As allocates
		return Host{}, hostError(reason)
	}
	return normalise(a), nil
}

type hostError hostport.Error

func (e hostError) Error() string { return "trustedhost: the host " + hostport.Error(e).Error() }

func normalise(a hostport.Authority) Host {
	h := Host{Name: a.Name, Addr: a.Addr, Port: a.Port, HasPort: a.HasPort}
	if a.Upper {
		h.Name = strings.ToLower(a.Name)
	}
	return h
}

// String is the normal form, which ParseHost reads back to an equal Host:
// "example.com", "example.com:8443", "[::1]:80".
func (h Host) String() string {
	host := h.Name
	if h.Addr.IsValid() {
		host = h.Addr.String()
	}
	if h.HasPort {
		return net.JoinHostPort(host, strconv.Itoa(int(h.Port)))
	}
	if h.Addr.Is6() {
		return "[" + host + "]"
	}
	return host
}
