// Package hosttest serves a site as Cloudflare Pages, Netlify or Vercel would, as
// far as their documentation and sources tell: which file answers a path, and which
// headers it gets. It is for tests.
package hosttest

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// A rule is one of _headers or vercel.json.
type rule struct {
	match *regexp.Regexp
	unset []string
	set   [][2]string
}

// A rewrite shows a file for other paths.
type rewrite struct {
	match *regexp.Regexp
	to    string
}

type host struct {
	files    map[string][]byte
	rules    []rule
	rewrites []rewrite
	find     func(h *host, p string) (name string, status int, location string)
	own      http.Header // what the host sends by itself
	joins    bool        // a header that is set twice has both values
}

// New returns the site as the host serves it. It is an error where a file of the
// host has a line that it does not know.
func New(name string, site map[string][]byte) (http.Handler, error) {
	h := &host{files: map[string][]byte{}, own: http.Header{"Cache-Control": {"public, max-age=0, must-revalidate"}}}
	for n, text := range site {
		if n != "_headers" && n != "_redirects" && n != "vercel.json" {
			h.files["/"+n] = text
		}
	}
	var err error
	switch name {
	case "cloudflare":
		// packages/pages-shared/asset-server/handler.ts: attachHeaders.
		h.own.Set("Access-Control-Allow-Origin", "*")
		h.own.Set("Referrer-Policy", "strict-origin-when-cross-origin")
		h.joins, h.find = true, cloudflare
		err = h.texts(site, true)
	case "netlify":
		h.joins, h.find = true, netlify
		err = h.texts(site, false)
	case "vercel":
		h.find = vercel
		err = h.json(site["vercel.json"])
	default:
		err = fmt.Errorf("no such host: %s", name)
	}
	return h, err
}

// pattern is that of _headers and _redirects: * stands for anything.
func pattern(p string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, ".*") + "$")
}

func (h *host) texts(site map[string][]byte, unset bool) error {
	for line := range strings.Lines(string(site["_headers"])) {
		text := strings.TrimSpace(line)
		name, value, isHeader := strings.Cut(text, ":")
		switch {
		case text == "" || text[0] == '#':
		case line[0] == '/':
			h.rules = append(h.rules, rule{match: pattern(text)})
		case len(h.rules) == 0 || line[0] != ' ':
			return fmt.Errorf("_headers: %q", line)
		case unset && strings.HasPrefix(text, "! "):
			last := &h.rules[len(h.rules)-1]
			last.unset = append(last.unset, text[2:])
		case !isHeader || strings.ContainsAny(name, " !"):
			return fmt.Errorf("_headers: %q", line)
		default:
			last := &h.rules[len(h.rules)-1]
			last.set = append(last.set, [2]string{name, strings.TrimSpace(value)})
		}
	}
	for line := range strings.Lines(string(site["_redirects"])) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0][0] == '#':
		case len(f) != 3 || f[2] != "200":
			return fmt.Errorf("_redirects: %q", line)
		default:
			h.rewrites = append(h.rewrites, rewrite{pattern(f[0]), f[1]})
		}
	}
	return nil
}

// json reads vercel.json. Of path-to-regexp it knows "(.*)".
func (h *host) json(text []byte) error {
	var file struct {
		Schema  string `json:"$schema"`
		Headers []struct {
			Source  string
			Headers []struct{ Key, Value string }
		}
		Rewrites []struct{ Source, Destination string }
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return fmt.Errorf("vercel.json: %w", err)
	}
	source := func(s string) *regexp.Regexp {
		return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(s), `\(\.\*\)`, "(.*)") + "$")
	}
	for _, set := range file.Headers {
		r := rule{match: source(set.Source)}
		for _, kv := range set.Headers {
			r.set = append(r.set, [2]string{kv.Key, kv.Value})
		}
		h.rules = append(h.rules, r)
	}
	for _, r := range file.Rewrites {
		h.rewrites = append(h.rewrites, rewrite{source(r.Source), r.Destination})
	}
	return nil
}

func (h *host) rewritten(p string) string {
	for _, r := range h.rewrites {
		if r.match.MatchString(p) {
			return r.to // the first one only
		}
	}
	return p
}

// missing is the answer to a path without a file.
func (h *host) missing() (string, int, string) {
	if h.files["/404.html"] != nil {
		return "/404.html", http.StatusNotFound, ""
	}
	return "/index.html", http.StatusOK, "" // "assumes that you are deploying a single-page application"
}

// cloudflare: a rewrite comes before the files; an HTML file has one address,
// without index.html and without .html. (handler.ts: generateResponse.)
func cloudflare(h *host, p string) (string, int, string) {
	p = h.rewritten(p)
	switch {
	case strings.HasSuffix(p, "/") && h.files[p+"index.html"] != nil:
		return p + "index.html", http.StatusOK, ""
	case strings.HasSuffix(p, "/index.html") && h.files[p] != nil:
		return "", http.StatusPermanentRedirect, strings.TrimSuffix(p, "index.html")
	case strings.HasSuffix(p, ".html") && h.files[p] != nil:
		return "", http.StatusPermanentRedirect, strings.TrimSuffix(p, ".html")
	case h.files[p] != nil:
		return p, http.StatusOK, ""
	case h.files[p+".html"] != nil:
		return p + ".html", http.StatusOK, ""
	case h.files[p+"/index.html"] != nil:
		return "", http.StatusPermanentRedirect, p + "/"
	}
	return h.missing()
}

// netlify: a file wins over a rewrite.
func netlify(h *host, p string) (string, int, string) {
	for _, name := range []string{p, path.Join(p, "index.html"), p + ".html", h.rewritten(p)} {
		if h.files[name] != nil {
			return name, http.StatusOK, ""
		}
	}
	return "/404.html", http.StatusNotFound, ""
}

// vercel: a file wins over a rewrite; HTML files keep their extension.
func vercel(h *host, p string) (string, int, string) {
	for _, name := range []string{p, path.Join(p, "index.html"), h.rewritten(p)} {
		if h.files[name] != nil {
			return name, http.StatusOK, ""
		}
	}
	return "/404.html", http.StatusNotFound, ""
}

// ServeHTTP answers. The rules are for the path that was asked for.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, status, location := h.find(h, r.URL.Path)
	out := w.Header()
	for k, v := range h.own {
		out[k] = append([]string(nil), v...)
	}
	set := map[string]bool{}
	for _, rule := range h.rules {
		if !rule.match.MatchString(r.URL.Path) {
			continue
		}
		for _, k := range rule.unset {
			out.Del(k)
		}
		for _, kv := range rule.set {
			key := http.CanonicalHeaderKey(kv[0])
			if h.joins && set[key] {
				out.Set(key, out.Get(key)+", "+kv[1])
			} else {
				out.Set(key, kv[1])
			}
			set[key] = true
		}
	}
	if location != "" {
		out.Set("Location", location)
	} else {
		out.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(h.files[name])
	}
}
