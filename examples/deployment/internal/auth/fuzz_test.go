package auth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/keys"
)

// FuzzReturnURL: what is accepted stays on the frontend, whoever resolves it: as
// it is, as a browser repairs it (WHATWG URL: tabs and line ends go, \ is /), and
// as a router does that decodes once more. It is also safe as a header value.
func FuzzReturnURL(f *testing.F) {
	for _, s := range badReturns {
		f.Add(s)
	}
	for _, s := range []string{"", "/", "/threads/7?tab=2#end", "/#/threads", "/a%20b", "/s?u=https://example.org//x", "/@me"} {
		f.Add(s)
	}
	base, err := url.Parse("https://app.example.com/auth/callback")
	require.NoError(f, err)
	repair := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := auth.ReturnURL(s)
		if !ok {
			require.Empty(t, got)
			return
		}
		require.True(t, got == s || (s == "" && got == "/"), "never repaired")
		require.NotContains(t, got, "\n")
		path, _, _ := strings.Cut(got, "?")
		decoded, err := url.PathUnescape(path)
		require.NoError(t, err)
		for _, form := range []string{got, repair.Replace(got), strings.TrimSpace(got), repair.Replace(decoded)} {
			// The resolved path must not begin a host when it is used as a reference again.
			u, err := base.Parse(form)
			if err != nil {
				continue // nobody goes there
			}
			require.Equal(t, "https://app.example.com", u.Scheme+"://"+u.Host, form)
			require.False(t, strings.HasPrefix(u.Path, "//"), form)
		}
	})
}

// FuzzToken: a request gets in only with the very bytes that we issued.
func FuzzToken(f *testing.F) {
	store := &memory{users: map[string]data.User{"user-1": {ID: "user-1"}}, codes: map[[32]byte]savedCode{}}
	origin, err := url.Parse("https://api.example.com")
	require.NoError(f, err)
	ring := keys.New(secret)
	service, err := auth.New(f.Context(), auth.Config{Backend: origin, Frontend: origin, Secure: true, Keys: ring, Store: store})
	require.NoError(f, err)
	w := &world{keys: ring, origin: "https://api.example.com"}
	f.Add("")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(genuine(w).String())
	f.Fuzz(func(t *testing.T, token string) {
		inside := false
		h := service.Authenticate(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside = true }))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/api/me", http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		rec := &record{header: http.Header{}}
		h.ServeHTTP(rec, r)
		if inside {
			// Only a holder of the key can make one; the fuzzer has the seed's.
			require.Equal(t, 3, len(strings.Split(token, ".")))
			require.Equal(t, strings.Split(genuine(w).String(), ".")[0], strings.Split(token, ".")[0])
			return
		}
		require.Equal(t, http.StatusUnauthorized, rec.status)
	})
}
