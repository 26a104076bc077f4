package spa_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/spa"
)

// FuzzPath asks for arbitrary paths with arbitrary headers. The oracle: the
// answer is a file of the build (the very bytes of the one that the decoded
// path names, or a page of it), the index page, or a refusal with a constant
// body; nothing leads to another host; what lies outside of the index is never
// there, however it is spelt.
func FuzzPath(f *testing.F) {
	for _, row := range table() {
		f.Add(row.target, strings.Join(row.header, "\n"), "", "")
	}
	f.Add("/assets/index-BxYz12_-.js", "", "gzip, br;q=0", "bytes=0-5")
	files := viteFiles()
	bodies := map[string]bool{}
	for name, body := range files {
		if !strings.Contains("/"+name, "/.") || strings.HasPrefix(name, ".well-known/") {
			bodies[body] = true
		}
	}
	app := newApp(f, spa.Config{})
	f.Fuzz(func(t *testing.T, target, header, encoding, ranges string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || u.Opaque != "" {
			return // net/http answers these itself, or has cut the host off
		}
		r := httptest.NewRequest("GET", "http://app.example/", nil)
		r.URL = u
		if name, value, ok := strings.Cut(header, "\n"); ok {
			r.Header.Set(name, value)
		}
		if encoding != "" {
			r.Header.Set("Accept-Encoding", encoding)
		}
		whole := httptest.NewRecorder()
		app.ServeHTTP(whole, r)
		checkAnswer(t, whole, u, files, bodies)
		if ranges == "" || whole.Code != 200 {
			return
		}
		r.Header.Set("Range", ranges)
		part := httptest.NewRecorder()
		app.ServeHTTP(part, r)
		checkRange(t, part, whole.Body.Bytes())
	})
}

func checkAnswer(t *testing.T, rec *httptest.ResponseRecorder, u *url.URL, files map[string]string, bodies map[string]bool) {
	t.Helper()
	body := rec.Body.String()
	switch rec.Code {
	case 200:
		switch rec.Header().Get("Content-Encoding") {
		case "br":
			body = files["assets/index-BxYz12_-.js"]
			if rec.Body.String() != "pretended brotli" {
				t.Fatalf("%q: %q is no variant", u, rec.Body)
			}
		case "gzip":
			body = string(gunzip(t, rec.Body.Bytes()))
		}
		if want, ok := files[strings.TrimPrefix(u.Path, "/")]; ok && body != want {
			t.Fatalf("%q is a file and got %q", u, body)
		}
		if !bodies[body] {
			t.Fatalf("%q got what is no file of the build: %q", u, body)
		}
	case 304:
		if body != "" {
			t.Fatalf("%q: 304 with a body", u)
		}
	case 307:
		if loc := rec.Header().Get("Location"); !strings.HasPrefix(loc, "/docs/") || strings.ContainsFunc(loc, isNoURI) {
			t.Fatalf("%q leads to %q", u, loc)
		}
	case 404, 406, 412:
		if want := http.StatusText(rec.Code) + "\n"; body != want || rec.Header().Get("Etag") != "" || rec.Header().Get("Cache-Control") != "" {
			t.Fatalf("%q: %d %q %v", u, rec.Code, body, rec.Header())
		}
	default:
		if rec.Code != 206 && rec.Code != 416 { // a Range among the headers
			t.Fatalf("%q: %d", u, rec.Code)
		}
	}
}

// isNoURI tells what RFC 3986, appendix A, has in no URI, and the # that ends a query.
func isNoURI(c rune) bool {
	return c <= ' ' || c > '~' || strings.ContainsRune("\"#<>\\^`{|}", c)
}

// checkRange: a part is a part of the whole, an ignored Range the whole, and
// neither is more than the whole and its headers.
func checkRange(t *testing.T, part *httptest.ResponseRecorder, whole []byte) {
	t.Helper()
	switch part.Code {
	case 200:
		if !bytes.Equal(part.Body.Bytes(), whole) {
			t.Fatal("an ignored Range changes the body")
		}
	case 206:
		if strings.HasPrefix(part.Header().Get("Content-Type"), "multipart/byteranges") {
			if part.Body.Len() > len(whole)+16*300 {
				t.Fatalf("%d bytes for a file of %d", part.Body.Len(), len(whole))
			}
		} else if !bytes.Contains(whole, part.Body.Bytes()) || part.Body.Len() == 0 {
			t.Fatalf("%q is no part of the file", part.Body)
		}
	case 416:
		if part.Body.Len() != 0 || part.Header().Get("Content-Range") == "" {
			t.Fatalf("416: %q %v", part.Body, part.Header())
		}
	default:
		t.Fatalf("%d", part.Code)
	}
}

// FuzzPage indexes arbitrary pages. The oracle: New never panics; a page it
// takes, with BaseHref and Inject, is still served whole, has the config once,
// and no byte of the config's values can be markup.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		indexHTML, indexlike, "", "<", "<!--", "<head><base href=x>", "<script><!-- <script> </script> -->", "<a b='", "<script>\r\x00</script>",
		"<head></head><style>@import url(//a.example/b)</style>", "</head><body onload=x>", "<!doctype html><plaintext>",
		"<script>_flutter.buildConfig = {\"a\":1};</script>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, page string) {
		app, err := spa.New(spa.Config{
			FS: mapFS(map[string]string{"index.html": page}), Inject: map[string]any{"k": "</script><x>"}, BaseHref: "/",
		})
		if err != nil {
			return
		}
		rec := ask(app, "GET", "/deep/link")
		if rec.Code != 200 {
			t.Fatalf("%d", rec.Code)
		}
		const config = `<script type="application/json" id="app-config">{"k":"\u003c/script\u003e\u003cx\u003e"}</script>`
		if body := rec.Body.String(); strings.Count(body, config) != 1+strings.Count(page, config) {
			t.Fatalf("the config is not there once: %q", body)
		}
		for _, h := range app.CSP().ScriptHashes {
			if len(h) != len("'sha256-'")+44 {
				t.Fatal(h)
			}
		}
	})
}
