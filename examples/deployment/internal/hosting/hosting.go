// Package hosting writes what a host for static files needs to serve the frontend
// as this service would: the same security headers, the same rules of caching, the
// page for the app's routes and a 404 for what is missing. The API then is another
// origin, which the page is told and its policy allows.
//
// # What the hosts allow
//
// Cloudflare Pages: _headers has at most 100 rules and 2000 characters in a line.
// Every rule that matches counts, and a header that two of them set is joined with
// a comma, so that no two rules here set the same. Without a 404.html every missing
// file is the page, with status 200, and a header rule for /assets/* would have
// browsers keep that page for a year as the script it is not. So there is a
// 404.html, _redirects names the app's routes, and the names of files that may be
// kept for ever are written out. A rewrite to /index.html would be redirected to /,
// so it goes to /. (Documentation "Headers" and "Redirects" of Cloudflare Pages, and
// its source, cloudflare/workers-sdk packages/pages-shared/asset-server; read in
// November 2026.)
//
// Netlify: the same two files, without the "! Name" line, which takes a header of
// the host's own away. A file that exists wins over a rewrite. (docs.netlify.com,
// "Custom headers" and "Rewrites and proxies"; read in November 2026.)
//
// Vercel: vercel.json, at most 2048 rewrites, 4096 characters in a source; files win
// over rewrites, and a header set twice has the last value. (vercel.com/docs,
// "Project configuration", and vercel/vercel packages/routing-utils; read in
// November 2026.)
//
// All three send "public, max-age=0, must-revalidate" where no rule says otherwise,
// for the app's routes here: browsers ask each time, as with no-cache. What none can
// express is the answer to a request of a script for one of the app's routes: it is
// the page, and not a 404 as here.
package hosting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/gatehouse-go/gatehouse/spa"
)

// Hosts are the names of those that files can be written for.
func Hosts() []string { return []string{"cloudflare", "netlify", "vercel"} }

// Routes are the paths that the app's router knows beside /; "/*" at the end is
// everything below. The hosts answer them with the page, and nothing else.
func Routes() []string { return []string{"/threads", "/threads/*", "/stack", "/auth/callback"} }

// Headers are the headers for an app: the default set, and what its build needs.
func Headers(needs spa.Needs) secheaders.Config {
	h := secheaders.Default()
	if needs.Wasm { // a Flutter build
		h = secheaders.FlutterWeb(secheaders.FlutterOptions{
			CDN: len(needs.ScriptHosts) > 0, FontHosts: needs.FontHosts,
		})
	}
	for _, hash := range needs.ScriptHashes {
		h.CSP.Script = append(orSelf(h.CSP.Script), secheaders.Source(hash))
	}
	for _, hash := range needs.StyleHashes {
		h.CSP.Style = append(orSelf(h.CSP.Style), secheaders.Source(hash))
	}
	return h
}

func orSelf(sources []secheaders.Source) []secheaders.Source {
	if sources == nil {
		return []secheaders.Source{secheaders.Self}
	}
	return sources
}

// A rule sets headers for one path, or for everything: "/*".
type rule struct {
	path    string
	headers [][2]string // name and value
}

const (
	noCache = "no-cache"
	notHere = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Not found</title></head>
<body><h1>Not found</h1><p>There is nothing at this address. <a href="/">Go to the start</a></p></body>
</html>
`
)

// Files returns the files for one host, by name. needs are those of the app
// (spa.Middleware.CSP), api is the origin of this service, and immutable and other
// are the paths of the app's files, those with a hash in their names and the rest.
func Files(host, api string, needs spa.Needs, immutable, other []string) (map[string][]byte, error) {
	if !strings.HasPrefix(api, "https://") {
		return nil, fmt.Errorf("hosting: %q: the API must have an origin like https://api.example.com: a page over HTTPS reaches no other", api)
	}
	headers := Headers(needs)
	headers.CSP.Connect = append(orSelf(headers.CSP.Connect), secheaders.Origin(api))
	m, err := secheaders.New(headers)
	if err != nil {
		return nil, err
	}
	rules, err := rulesFor(m.Describe(), immutable, other)
	if err != nil {
		return nil, err
	}
	made := "# Made by: deployment hosting " + host + " " + api + " DIR\n"
	files := map[string][]byte{"404.html": []byte(notHere)}
	switch host {
	case "cloudflare":
		// The host sends Access-Control-Allow-Origin: * with every file.
		files["_headers"] = []byte(made + "/*\n  ! Access-Control-Allow-Origin\n" + strings.TrimPrefix(headerLines(rules), "/*\n"))
		files["_redirects"] = []byte(made + rewriteLines("/"))
		return files, fits(files["_headers"], len(rules))
	case "netlify":
		files["_headers"] = []byte(made + headerLines(rules))
		files["_redirects"] = []byte(made + rewriteLines("/index.html"))
	case "vercel":
		files["vercel.json"], err = vercel(rules)
	default:
		return nil, fmt.Errorf("hosting: %q is none of %s", host, strings.Join(Hosts(), ", "))
	}
	return files, err
}

// rulesFor sets no header twice for any path: hosts disagree about what that means.
func rulesFor(security http.Header, immutable, other []string) ([]rule, error) {
	all := rule{path: "/*"}
	for name, values := range security {
		all.headers = append(all.headers, [2]string{name, strings.Join(values, ", ")})
	}
	slices.SortFunc(all.headers, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	if len(immutable) == 0 {
		all.headers = append(all.headers, [2]string{"Cache-Control", noCache})
		return []rule{all}, nil
	}
	rules := []rule{all}
	var errs []error
	add := func(value string, paths ...string) {
		for _, p := range paths {
			if !plain.MatchString(p) {
				errs = append(errs, fmt.Errorf("hosting: %q: a name that is a pattern to some hosts; rename the file", p))
			}
			rules = append(rules, rule{p, [][2]string{{"Cache-Control", value}}})
		}
	}
	add(noCache, "/")
	add(noCache, other...) // the app's routes have what the host sends by itself
	add("public, max-age=31536000, immutable", immutable...)
	return rules, errors.Join(errs...)
}

func headerLines(rules []rule) string {
	var b strings.Builder
	for _, r := range rules {
		b.WriteString(r.path + "\n")
		for _, h := range r.headers {
			b.WriteString("  " + h[0] + ": " + h[1] + "\n")
		}
	}
	return b.String()
}

func rewriteLines(to string) string {
	var b strings.Builder
	for _, r := range Routes() {
		b.WriteString(r + " " + to + " 200\n")
	}
	return b.String()
}

// fits holds a _headers file to the limits of Cloudflare Pages.
func fits(file []byte, rules int) error {
	var errs []error
	if rules > 100 {
		errs = append(errs, fmt.Errorf("hosting: %d header rules, and Cloudflare Pages takes 100: bundle the app into fewer files", rules))
	}
	for line := range bytes.Lines(file) {
		if len(bytes.TrimRight(line, "\n")) > 2000 {
			errs = append(errs, fmt.Errorf("hosting: a header of %d characters, and Cloudflare Pages takes 2000: %.60s", len(line), line))
		}
	}
	return errors.Join(errs...)
}

// plain is a path that means itself in a pattern of every host.
var plain = regexp.MustCompile(`^/[A-Za-z0-9._/-]*$`)

// vercel writes vercel.json. Its patterns are those of path-to-regexp.
func vercel(rules []rule) ([]byte, error) {
	type header struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	type set struct {
		Source  string   `json:"source"`
		Headers []header `json:"headers"`
	}
	type rewrite struct {
		Source      string `json:"source"`
		Destination string `json:"destination"`
	}
	file := struct {
		Schema   string    `json:"$schema"`
		Headers  []set     `json:"headers"`
		Rewrites []rewrite `json:"rewrites"`
	}{Schema: "https://openapi.vercel.sh/vercel.json"}
	source := func(p string) string {
		if below, ok := strings.CutSuffix(p, "/*"); ok {
			return below + "/(.*)"
		}
		return p
	}
	for _, r := range rules {
		s := set{Source: source(r.path)}
		for _, h := range r.headers {
			s.Headers = append(s.Headers, header{h[0], h[1]})
		}
		file.Headers = append(file.Headers, s)
	}
	for _, r := range Routes() {
		file.Rewrites = append(file.Rewrites, rewrite{source(r), "/index.html"})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(file)
	return b.Bytes(), err
}

// An answer is what the app answers to a request.
type answer struct {
	bytes.Buffer
	header http.Header
	status int
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

// Site returns the whole site for a host: the app, its page told where the API is,
// and the host's files.
func Site(host, api string, app fs.FS) (map[string][]byte, error) {
	m, err := spa.New(spa.Config{FS: app, Inject: map[string]any{"api": api}})
	if err != nil {
		return nil, err
	}
	site := map[string][]byte{}
	var immutable, other []string
	err = fs.WalkDir(app, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		at := path.Join("/", name)
		w := answer{header: http.Header{}}
		m.ServeHTTP(&w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: at}, Header: http.Header{}})
		if w.status != http.StatusOK {
			return nil // a sibling (.gz), a dotfile: the app has no such path
		}
		if strings.Contains(w.header.Get("Cache-Control"), "immutable") {
			immutable = append(immutable, at)
		} else {
			other = append(other, at)
		}
		site[name] = w.Bytes()
		return nil
	})
	if err != nil {
		return nil, err
	}
	files, err := Files(host, api, m.CSP(), immutable, other)
	if err != nil {
		return nil, err
	}
	maps.Copy(site, files)
	return site, nil
}
