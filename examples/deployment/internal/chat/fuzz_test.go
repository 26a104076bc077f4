package chat

import (
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzAReaderThatComesBackAnywhere: a text comes in two pieces, its reader in
// between, at whatever offset its client names. The oracle is the whole text: what
// is read is its end, from the beginning of the character at the offset on, and
// each part is whole characters.
func FuzzAReaderThatComesBackAnywhere(f *testing.F) {
	f.Add("Hello, ", "world", "7")
	f.Add("日本", "語", "4")
	f.Add("a\x00", "\xff\xfe", "1")
	f.Add("", "", "0")
	f.Add("x", "y", "99")
	f.Add("x", "y", "-1")
	f.Add("x", "y", "99999999999999999999")
	f.Add("x", "y", "1\r\nX: y")
	f.Fuzz(func(t *testing.T, first, second, id string) {
		first, second = storable(first), storable(second)
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Last-Event-Id"] = []string{id}
		offset, known := lastEventID(r)
		if offset < 0 || !known && offset != 0 {
			t.Fatal(offset, known)
		}
		a := newAnswer(nil)
		a.add(first)
		one, next, _, _ := a.after(offset)
		a.add(second)
		two, _, _, _ := a.after(next)
		if !utf8.Valid(one) || !utf8.Valid(two) {
			t.Fatalf("%q %q: half a character", one, two)
		}
		got, whole := string(one)+string(two), first+second
		if strings.ContainsRune(got, 0) || !strings.HasSuffix(whole, got) {
			t.Fatalf("%q is not the end of %q", got, whole)
		}
		at := min(offset, len(whole))
		for at > 0 && at < len(whole) && !utf8.RuneStart(whole[at]) {
			at--
		}
		if want := whole[at:]; got != want {
			t.Fatalf("from %d: %q, not %q", offset, got, want)
		}
	})
}
