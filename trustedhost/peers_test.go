package trustedhost_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

var peerList = []string{"example.com", "*.example.org", "127.0.0.1", "[::1]", "a_b.example.net"}

// Why the three differ. Where Starlette compares a host without its port with
// the pattern, as a string, Django first holds it against a regular expression
// and a lower-case copy against the pattern.
const (
	upper            = "RFC 3986, section 6.2.2.1: a host has no case; Starlette compares bytes"
	rootDot          = "RFC 1034, section 3.1: the same name in absolute form; Starlette compares bytes"
	emptyPort        = "RFC 3986, section 3.2.3: a port may be empty; Django demands a digit"
	apex             = "a wildcard is for what is below; Django's form of one covers the apex too"
	ipv6             = "Starlette splits at the first colon, Django compares the spelling, not the address"
	underscoreListed = "in use, if no host name (RFC 952): accepted where it is listed; Django never does"
	underscoreBelow  = "accepted only where it is listed; Starlette compares suffixes"
	userinfo         = "RFC 9110, section 4.2.4: a link built on it leads to the attacker; Starlette cuts at the colon"
	port             = "not a number from 1 to 65535; Starlette ignores what follows the colon, Django wants digits alone"
	bytesOfNoHost    = "a URL built on it leads elsewhere or nowhere; Starlette compares suffixes"
	labels           = "RFC 1123, section 2.1, and RFC 1035, section 2.3.4: no name has such a label or length"
	punycode         = "RFC 3492: decodes to nothing; the others do not look"
	pattern          = "a pattern is not a host; Starlette compares suffixes"
	number           = "the WHATWG URL standard reads an IPv4 address; with the dot it is no dotted quad"
)

// peerVectors is what this package, Starlette and Django make of one list, as
// found by running them (Starlette 0.26.1 and Django 3.2.25, of Debian 12). why is the reason of every difference; where there is
// none all three agree.
var peerVectors = []struct {
	host                    string
	ours, starlette, django bool
	why                     string
}{
	{"example.com", true, true, true, ""},
	{"EXAMPLE.COM", true, false, true, upper},
	{"Example.Com", true, false, true, upper},
	{"example.com:80", true, true, true, ""},
	{"example.com:8443", true, true, true, ""},
	{"example.com.", true, false, true, rootDot},
	{"EXAMPLE.com.", true, false, true, upper},
	{"example.com.:8443", true, false, true, rootDot},
	{"example.com:", true, true, false, emptyPort},
	{"example.com:0080", true, true, true, ""},
	{"a.example.org", true, true, true, ""},
	{"a.b.c.example.org", true, true, true, ""},
	{"A.EXAMPLE.ORG", true, false, true, upper},
	{"a.example.org.", true, false, true, rootDot},
	{"a.example.org:8443", true, true, true, ""},
	{"example.org", false, false, true, apex},
	{"xexample.org", false, false, false, ""},
	{"127.0.0.1", true, true, true, ""},
	{"127.0.0.1:8000", true, true, true, ""},
	{"[::1]", true, false, true, ipv6},
	{"[::1]:8000", true, false, true, ipv6},
	{"[0:0:0:0:0:0:0:1]", true, false, false, ipv6},
	{"[0::0001]:8000", true, false, false, ipv6},
	{"a_b.example.net", true, true, false, underscoreListed},
	{"A_B.example.net", true, false, false, underscoreListed},
	{"a_b.example.org", false, true, false, underscoreBelow},
	{"xn--bcher-kva.example.org", true, true, true, ""},
	{"", false, false, false, ""},
	{"attacker.example", false, false, false, ""},
	{"www.example.com", false, false, false, ""},
	{"example.com.attacker.example", false, false, false, ""},
	{"example.org.attacker.example", false, false, false, ""},
	{"127.0.0.2", false, false, false, ""},
	{"[::2]", false, false, false, ""},
	{"[::ffff:127.0.0.1]", false, false, false, ""},
	{"127.0.0.1.attacker.example", false, false, false, ""},
	{"localhost", false, false, false, ""},
	{"example.com:@attacker.example", false, true, false, userinfo},
	{"example.com:80@attacker.example", false, true, false, userinfo},
	{"user@example.com", false, false, false, ""},
	{"example.com@attacker.example", false, false, false, ""},
	{"a@b.example.org", false, true, false, userinfo},
	{"example.com:abc", false, true, false, port},
	{"example.com:99999", false, true, true, port},
	{"example.com:0", false, true, true, port},
	{"example.com:443:80", false, true, false, port},
	{"example.com:-1", false, true, false, port},
	{"example.com:+80", false, true, false, port},
	{"example.com:80 ", false, true, false, port},
	{"example.com::80", false, true, false, port},
	{"attacker.example/.example.org", false, true, false, bytesOfNoHost},
	{"attacker.example#.example.org", false, true, false, bytesOfNoHost},
	{"attacker.example?.example.org", false, true, false, bytesOfNoHost},
	{"attacker.example\\.example.org", false, true, false, bytesOfNoHost},
	{"attacker.example .example.org", false, true, false, bytesOfNoHost},
	{"attacker.example\t.example.org", false, true, false, bytesOfNoHost},
	{"attacker.example%00.example.org", false, true, false, bytesOfNoHost},
	{"attacker.example,.example.org", false, true, false, bytesOfNoHost},
	{"attacker.example:80.example.org", false, false, false, ""},
	{".example.org", false, true, true, labels},
	{"..example.org", false, true, true, labels},
	{"a..example.org", false, true, true, labels},
	{"example.com..", false, false, false, ""},
	{".", false, false, false, ""},
	{"-a.example.org", false, true, true, labels},
	{"a-.example.org", false, true, true, labels},
	{strings.Repeat("a", 64) + ".example.org", false, true, true, labels},
	{strings.Repeat("a.", 130) + "example.org", false, true, true, labels},
	{"xn--zz.example.org", false, true, true, punycode},
	{"b\u00fccher.example.org", false, true, false, bytesOfNoHost},
	{"ex%61mple.com", false, false, false, ""},
	{"example.com%20", false, false, false, ""},
	{"*.example.org", false, true, false, pattern},
	{"*", false, false, false, ""},
	{"a\u3002example.org", false, false, false, ""},
	{"127.1", false, false, false, ""},
	{"127.0.0.1.", false, false, true, number},
	{"0x7f.0.0.1", false, false, false, ""},
	{"2130706433", false, false, false, ""},
	{"0177.0.0.1", false, false, false, ""},
	{"127.0.0.01", false, false, false, ""},
	{"[::1", false, false, false, ""},
	{"::1", false, false, false, ""},
	{"[::1%25lo]", false, false, false, ""},
	{"[::1]x", false, false, false, ""},
	{"[::1]:", true, false, false, emptyPort},
	{"[::1]:abc", false, false, false, ""},
	{"[127.0.0.1]", false, false, false, ""},
	{"[v1.x]", false, false, false, ""},
	{"1.2.3.4.example.org", true, true, true, ""},
	{"example.com\n", false, false, false, ""},
	{" example.com", false, false, false, ""},
	{"example.com/", false, false, false, ""},
	{"http://example.com", false, false, false, ""},
	{"example.com, example.com", false, false, false, ""},
}

func TestTheDifferencesFromStarletteAndDjangoAreExactlyTheseOnes(t *testing.T) {
	python := testenv.Command(t, "python3", "/usr/bin/python3") // the one that sees Debian's packages
	if out, err := exec.Command(python, "-c", "import starlette, django").CombinedOutput(); err != nil {
		testenv.Missing(t, "apt-get install python3-starlette python3-django: "+strings.TrimSpace(string(out)))
	}
	hosts := make([]string, len(peerVectors))
	for i, v := range peerVectors {
		hosts[i] = v.host
	}
	in, err := json.Marshal(map[string]any{"list": peerList, "hosts": hosts})
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(python, "testdata/peers.py")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &stdout, &stderr
	require.NoError(t, cmd.Run(), stderr.String())
	var got struct {
		Versions string
		Answers  []struct{ Starlette, Django bool }
	}
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &got), stdout.String())
	require.Len(t, got.Answers, len(peerVectors))
	t.Log(got.Versions)

	m := mustNew(t, trustedhost.Config{Hosts: peerList})
	for i, v := range peerVectors {
		assert.Equal(t, v.ours, m.Allowed(v.host), "this package: %q", v.host)
		assert.Equal(t, v.starlette, got.Answers[i].Starlette, "Starlette: %q", v.host)
		assert.Equal(t, v.django, got.Answers[i].Django, "Django: %q", v.host)
		agree := v.ours == v.starlette && v.ours == v.django
		assert.Equal(t, agree, v.why == "", "%q: a difference has a reason, and only a difference", v.host)
	}
}
