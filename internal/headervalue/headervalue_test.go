package headervalue_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
)

// RFC 9110, section 5.6.2, typed from it.
const tchar = "!#$%&'*+-.^_`|~" + "0123456789" + "abcdefghijklmnopqrstuvwxyz" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func TestATokenHasTcharsOnly(t *testing.T) {
	for c := range 256 {
		b := byte(c)
		want := strings.IndexByte(tchar, b) >= 0
		for _, s := range []string{string([]byte{b}), string([]byte{'a', b}), string([]byte{b, 'a'})} {
			assert.Equal(t, want, headervalue.IsToken(s), "%q", s)
		}
	}
	assert.False(t, headervalue.IsToken(""))
	assert.True(t, headervalue.IsToken(tchar))
}

func TestAValueIsVisibleASCIIWithSpacesAndTabsInside(t *testing.T) {
	for c := range 256 {
		b := byte(c)
		visible := '!' <= b && b <= '~'
		assert.Equal(t, visible, headervalue.IsValue(string([]byte{b})), "%q", b)
		assert.Equal(t, visible, headervalue.IsValue(string([]byte{b, 'a'})), "%q first", b)
		assert.Equal(t, visible, headervalue.IsValue(string([]byte{'a', b})), "%q last", b)
		assert.Equal(t, visible || b == ' ' || b == '\t', headervalue.IsValue(string([]byte{'a', b, 'a'})), "%q inside", b)
	}
	assert.True(t, headervalue.IsValue(""))
}

func TestVaryIsAddedTo(t *testing.T) {
	for _, c := range []struct {
		have, add, want []string
	}{
		{nil, []string{"Origin"}, []string{"Origin"}},
		{nil, []string{"Origin", "Accept"}, []string{"Origin, Accept"}},
		{[]string{}, []string{"Origin"}, []string{"Origin"}},
		{[]string{"Accept"}, []string{"Origin"}, []string{"Accept", "Origin"}},
		{[]string{"Accept", "Cookie"}, []string{"Origin", "Cookie"}, []string{"Accept", "Cookie", "Origin"}},
		{[]string{"accept,\torigin"}, []string{"Origin"}, []string{"accept,\torigin"}},
		{[]string{"*"}, []string{"Origin"}, []string{"*"}},
		{[]string{"Accept, *"}, []string{"Origin"}, []string{"Accept, *"}},
		{[]string{"X-Origin"}, []string{"Origin"}, []string{"X-Origin", "Origin"}},
		{[]string{""}, []string{"Origin"}, []string{"", "Origin"}},
	} {
		h := http.Header{}
		if c.have != nil {
			h["Vary"] = slices.Clone(c.have)
		}
		headervalue.AddVary(h, c.add...)
		assert.Equal(t, c.want, h["Vary"], "%q and %q", c.have, c.add)
	}
}

func TestVaryNeverWritesIntoAnArrayThatOthersHold(t *testing.T) {
	shared := append(make([]string, 0, 8), "Accept") // room for one more
	h := http.Header{"Vary": shared}
	headervalue.AddVary(h, "Origin")
	assert.Equal(t, []string{"Accept", ""}, shared[:2], "the caller's array is as it was")
	assert.Equal(t, len(h["Vary"]), cap(h["Vary"]), "an Add of a handler must not write into what stands behind")
	h["Vary"][0] = "changed"
	assert.Equal(t, "Accept", shared[0])

	names := []string{"Origin", "Cookie"}
	first, second := http.Header{}, http.Header{}
	headervalue.AddVary(first, names...)
	headervalue.AddVary(second, names...)
	first["Vary"][0] = "changed"
	assert.Equal(t, "Origin, Cookie", second.Get("Vary"))
	assert.Equal(t, []string{"Origin", "Cookie"}, names)
}

func TestAListIsSearchedWithoutRegardToCaseAndSpace(t *testing.T) {
	lines := []string{"", " gzip ;q=1", "Accept ,\tX-A,,cookie", "last"}
	for name, want := range map[string]bool{
		"accept": true, "X-a": true, "Cookie": true, "LAST": true, "gzip": false, "X": false, "A": false, "last2": false,
	} {
		assert.Equal(t, want, headervalue.HasListed(lines, name), name)
	}
	assert.False(t, headervalue.HasListed(nil, "x"))
}

// RFC 3986, appendix A: query = *( pchar / "/" / "?" ), with what may stand in it
// typed from there. Everything else is escaped; % is left as it came.
func TestEscapeQueryLeavesWhatAQueryMayHold(t *testing.T) {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "abcdefghijklmnopqrstuvwxyz" + "0123456789" + "-._~" +
		"!$&'()*+,;=" + ":@" + "/?" + "%" + "[]" // browsers leave brackets in a query, as the WHATWG URL standard says
	for c := range 256 {
		b := string([]byte{byte(c)})
		want := b
		if strings.IndexByte(allowed, byte(c)) < 0 {
			want = fmt.Sprintf("%%%02X", c)
		}
		assert.Equal(t, "a"+want+"b", headervalue.EscapeQuery("a"+b+"b"))
	}
}
