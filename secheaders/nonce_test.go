package secheaders_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/secheaders"
)

// nonces lists the nonces in the header, as CSP Level 3 spells them.
func nonces(header string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'nonce-([A-Za-z0-9+/_-]+=*)'`).FindAllStringSubmatch(header, -1) {
		out = append(out, m[1])
	}
	return out
}

// showNonce writes the nonce it finds in its context.
var showNonce = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, secheaders.Nonce(r.Context()))
})

func TestANonceIsTheSameInBothPoliciesAndTheContext(t *testing.T) {
	c := nonceConfig()
	c.CSP.Style = []secheaders.Source{secheaders.Self, secheaders.NonceSource}
	c.CSPReportOnly = &secheaders.Policy{Script: []secheaders.Source{secheaders.NonceSource}}
	h := build(t, c).Handler(showNonce)
	seen := map[string]bool{}
	for range 1000 {
		rec := get(h, "https://example.com/")
		nonce := rec.Body.String()
		assert.Equal(t, []string{nonce, nonce}, nonces(rec.Header().Get("Content-Security-Policy")))
		assert.Equal(t, []string{nonce}, nonces(rec.Header().Get("Content-Security-Policy-Report-Only")))
		raw, err := base64.RawURLEncoding.DecodeString(nonce)
		require.NoError(t, err)
		assert.Len(t, raw, 16, "128 bits")
		require.False(t, seen[nonce], "drawn anew for each answer")
		seen[nonce] = true
	}
	rec := get(h, "https://example.com/")
	assert.Equal(t, "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "+
		"script-src 'nonce-"+rec.Body.String()+"' 'strict-dynamic'; style-src 'self' 'nonce-"+rec.Body.String()+"'; upgrade-insecure-requests",
		rec.Header().Get("Content-Security-Policy"))
}

func TestTheOtherHeadersOfANoncePolicyAreTheDefaultSet(t *testing.T) {
	got := get(build(t, nonceConfig()).Handler(nothing), "https://example.com/").Header()
	want := secureByDefault.Clone()
	want.Set("Content-Security-Policy", got.Get("Content-Security-Policy"))
	want.Set("Cache-Control", "no-store")
	assert.Equal(t, want, got)
	assert.NotContains(t, get(build(t, nonceConfig()).Handler(nothing), "http://example.com/").Header(), "Strict-Transport-Security")
}

func TestAPageWithANonceIsNotStoredUnlessTheHandlerDecides(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"writes":             {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, "no-store"},
		"writes a status":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, "no-store"},
		"writes nothing":     {func(http.ResponseWriter, *http.Request) {}, "no-store"},
		"flushes":            {func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }, "no-store"},
		"hints, then writes": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(200) }, "no-store"},
		"decides":            {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "private, max-age=5") }, "private, max-age=5"},
		"has its own policy": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'none'")
		}, ""},
	} {
		rec := get(build(t, nonceConfig()).Handler(tc.handler), "https://example.com/")
		assert.Equal(t, tc.want, rec.Header().Get("Cache-Control"), name)
	}
}

func TestA304CarriesNoNonce(t *testing.T) {
	c := nonceConfig()
	c.CSPReportOnly = &secheaders.Policy{Script: []secheaders.Source{secheaders.NonceSource}}
	rec := get(build(t, c).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Content-Security-Policy-Report-Only", "img-src 'none'")
		w.WriteHeader(http.StatusNotModified)
	})), "https://example.com/")
	assert.NotContains(t, rec.Header(), "Content-Security-Policy")
	assert.Equal(t, []string{"img-src 'none'"}, rec.Header()["Content-Security-Policy-Report-Only"], "the handler's own stays")
	assert.NotContains(t, rec.Header(), "Cache-Control")
	assert.Equal(t, "DENY", rec.Header().Get("X-Frame-Options"))
}

func TestA304OfAPolicyWithoutNonceKeepsIt(t *testing.T) {
	rec := get(build(t, secheaders.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotModified)
	})), "https://example.com/")
	assert.Equal(t, secureByDefault, rec.Header())
}

func TestAPanicLeavesTheSetForWhoeverRecovers(t *testing.T) {
	panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })
	for name, c := range map[string]secheaders.Config{"static": secheaders.Default(), "nonce": nonceConfig()} {
		inner := build(t, c).Handler(panics)
		rec := get(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				require.Equal(t, "boom", recover())
				w.WriteHeader(http.StatusInternalServerError)
			}()
			inner.ServeHTTP(w, r)
		}), "https://example.com/")
		assert.Equal(t, 500, rec.Code)
		for header := range secureByDefault {
			assert.Len(t, rec.Header()[header], 1, "%s: %s", name, header)
		}
		if name == "nonce" {
			assert.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
		}
	}
}

func TestNoNonceOutsideANoncePolicy(t *testing.T) {
	assert.Empty(t, secheaders.Nonce(context.Background()))
	assert.Empty(t, get(build(t, secheaders.Config{}).Handler(showNonce), "/").Body.String())

	outer := build(t, nonceConfig())
	static := with(t, outer, func(c *secheaders.Config) { c.CSP.Script = nil })
	rec := get(outer.Handler(static.Handler(showNonce)), "https://example.com/")
	assert.Empty(t, rec.Body.String(), "the outer nonce is in no header any more")
	rec.Header().Del("Content-Type")
	assert.Equal(t, secureByDefault, rec.Header(), "and the answer may be stored")
	again := with(t, static, func(c *secheaders.Config) { c.CSP.Img = []secheaders.Source{secheaders.None} })
	assert.Empty(t, get(outer.Handler(again.Handler(showNonce)), "/").Body.String(), "a variant of a variant")
}

func TestNestedNoncePoliciesHaveTheInnerNonce(t *testing.T) {
	outer := build(t, nonceConfig())
	inner := with(t, outer, func(c *secheaders.Config) { c.CSP.Style = []secheaders.Source{secheaders.NonceSource} })
	rec := get(outer.Handler(inner.Handler(showNonce)), "https://example.com/")
	nonce := rec.Body.String()
	assert.Equal(t, []string{nonce, nonce}, nonces(strings.Join(rec.Header()["Content-Security-Policy"], ",")))
	assert.Equal(t, []string{"no-store"}, rec.Header()["Cache-Control"])
}

func TestTheContextOfTheRequestStaysWhatItWas(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "value"), time.Hour)
	defer cancel()
	want, _ := ctx.Deadline()
	h := build(t, nonceConfig()).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		deadline, ok := r.Context().Deadline()
		assert.True(t, ok)
		assert.Equal(t, want, deadline)
		assert.Equal(t, "value", r.Context().Value(key{}))
		child, stop := context.WithCancel(r.Context())
		defer stop()
		cancel()
		<-child.Done()
		assert.ErrorIs(t, child.Err(), context.Canceled)
		assert.NotEmpty(t, secheaders.Nonce(child))
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
}

// On HTTP/1 net/http removes an upload's temporary files by the request that it
// made itself: the copy with the nonce must hand them back, and the route too.
func TestUploadsAndRoutesAreHandedBack(t *testing.T) {
	outer := build(t, nonceConfig())
	for name, m := range map[string]*secheaders.Middleware{
		"nonce": outer, "variant without": with(t, outer, func(c *secheaders.Config) { c.CSP.Script = nil }),
	} {
		var file string
		mux := http.NewServeMux()
		mux.HandleFunc("POST /up/{id}", func(_ http.ResponseWriter, r *http.Request) {
			if !assert.NoError(t, r.ParseMultipartForm(1)) {
				return
			}
			f, err := r.MultipartForm.File["f"][0].Open()
			if assert.NoError(t, err) {
				defer f.Close()
				file = f.(*os.File).Name()
			}
		})
		inner := m.Handler(mux)
		var pattern string
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r)
			pattern = r.Pattern
		}))
		var body strings.Builder
		form := multipart.NewWriter(&body)
		part, _ := form.CreateFormFile("f", "f")
		_, _ = part.Write(make([]byte, 11<<20))
		form.Close()
		resp, err := srv.Client().Post(srv.URL+"/up/1", form.FormDataContentType(), strings.NewReader(body.String()))
		require.NoError(t, err)
		resp.Body.Close()
		srv.Close() // waits for the handler's end
		assert.Equal(t, "POST /up/{id}", pattern, name)
		require.NotEmpty(t, file, name)
		_, err = os.Stat(file)
		assert.ErrorIs(t, err, os.ErrNotExist, fmt.Sprintf("%s: the temporary file stays", name))
	}
}
