package spa

import (
	"crypto/sha1" // what ngsw.json holds; nothing depends on its strength
	"encoding/hex"
	"encoding/json"
	"net/url"
	"path"
	"strings"
)

// page scans the index page, after BaseHref and Inject are in it: hashes and
// ETag are of what is sent.
func (x *indexer) page(srcs map[string]*source) page {
	s := srcs[x.Index]
	if s == nil {
		x.fail(x.Index, "", "is not in the build: is FS its root (fs.Sub(embedded, \"dist\"))? has the app been built?")
		return page{}
	}
	if s.body == nil {
		x.fail(x.Index, "", "is larger than 16 MiB: is it the page of a single-page app?")
		return page{}
	}
	doc, changed := string(s.body), false
	p := scanHTML(doc)
	if x.BaseHref != "" {
		if doc, changed = p.withBase(doc, x.BaseHref); !changed {
			x.fail(x.Index, "", "has neither <head> nor <html> nor a doctype: no place for BaseHref")
		}
		p = scanHTML(doc)
	}
	if x.flutter != nil && x.Versioned {
		base := x.publicBase(p)
		x.patchBootstrap(srcs, base)
		if patched, ok := x.flutter.patch(doc, base); ok {
			doc, changed = patched, true
			p = scanHTML(doc)
		}
	}
	if x.inject != nil {
		var ok bool
		if doc, ok = p.withConfig(doc, x.inject); !ok {
			x.fail(x.Index, "", "has neither </head> nor <body>: no place for Inject")
		}
		p, changed = scanHTML(doc), true
	}
	if changed {
		s.setBody([]byte(doc))
	}
	return p
}

// publicBase is the path of the app as the browser sees it.
func (x *indexer) publicBase(p page) string {
	if strings.HasPrefix(p.base, "/") && strings.HasSuffix(p.base, "/") {
		return p.base
	}
	return x.Prefix
}

// resolve returns the URL path that a reference of the page leads to, false
// where it leads to another origin or is no path.
func (x *indexer) resolve(p page, ref string) (string, bool) {
	u, err := url.Parse(ref)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || strings.HasPrefix(ref, "//") {
		return "", false
	}
	base := &url.URL{Path: x.Prefix}
	if p.base != "" {
		b, err := url.Parse(p.base)
		if err != nil || b.Host != "" || b.Scheme != "" {
			return "", false
		}
		base = base.ResolveReference(b)
	}
	at := base.ResolveReference(u).Path
	if rest, ok := strings.CutPrefix(at, x.BaseHref); ok && x.BaseHref != "" {
		at = x.Prefix + rest // a proxy in front takes BaseHref for Prefix
	}
	return at, true
}

// localRefs returns the names in the build that the page loads as code.
func (x *indexer) localRefs(p page, srcs map[string]*source) []string {
	var names []string
	for _, r := range p.refs {
		if !r.kind.essential() {
			continue
		}
		if at, ok := x.resolve(p, r.url); ok {
			name := strings.TrimPrefix(at, x.Prefix)
			if srcs[name] == nil {
				name = strings.TrimPrefix(at, "/")
			}
			if srcs[name] != nil {
				names = append(names, name)
			}
		}
	}
	return names
}

// isRelative tells whether a reference depends on the page's own URL.
func isRelative(ref string) bool {
	u, err := url.Parse(ref)
	return err == nil && u.Scheme == "" && u.Host == "" && u.Path != "" && u.Path[0] != '/'
}

// check finds what does not fit together in the build.
func (x *indexer) check(p page, srcs map[string]*source) {
	x.checkBase(p)
	x.checkServiceWorker(srcs)
	for _, r := range p.refs {
		at, local := x.resolve(p, r.url)
		if !local || x.excluded(at) || x.out.files[at] != nil || at == "" || strings.HasPrefix(r.url, "data:") {
			continue
		}
		rel, below := strings.CutPrefix(at, x.Prefix)
		reason := "is not in the build; build again, or name it in Exclude if another handler serves it"
		switch {
		case !below:
			reason = "leads out of Prefix " + x.Prefix + ": build the app for that path, set BaseHref, or name it in Exclude if another handler serves it"
		case hiddenFromEmbed(rel):
			reason = `is not in the build; go:embed leaves out names that begin with _ or . unless it is written "//go:embed all:dir"`
		}
		if r.kind.essential() {
			x.fail(x.Index, r.url, "%s", reason)
		} else {
			x.warn(x.Index, r.url, "%s", reason)
		}
	}
}

// hiddenFromEmbed tells whether go:embed without "all:" leaves a name out.
func hiddenFromEmbed(name string) bool {
	for seg := range strings.SplitSeq(path.Clean(name), "/") {
		if strings.HasPrefix(seg, "_") || strings.HasPrefix(seg, ".") {
			return true
		}
	}
	return false
}

// checkBase warns of the white page behind a deep link.
func (x *indexer) checkBase(p page) {
	if p.baseStart < 0 {
		for _, r := range p.refs {
			if r.kind.essential() && isRelative(r.url) {
				x.warn(x.Index, r.url, "is relative and the page has no <base>: a deep link like %sa/b loads it from %sa/ and is a white page; set BaseHref", x.Prefix, x.Prefix)
				break
			}
		}
	}
	if p.jsURLs {
		x.warn(x.Index, "", "has a javascript: URL, which no hash in a Content-Security-Policy can allow")
	}
}

// checkServiceWorker compares Angular's list of hashes with the page as it is
// served: its worker refuses a page that is not the listed one, and goes on
// without updates.
func (x *indexer) checkServiceWorker(srcs map[string]*source) {
	s, page := srcs["ngsw.json"], srcs[x.Index]
	if s == nil || page == nil || !page.made {
		return
	}
	var list struct {
		HashTable map[string]string `json:"hashTable"`
	}
	if json.Unmarshal([]byte(s.text()), &list) != nil {
		x.warn("ngsw.json", "", "is no JSON")
		return
	}
	sum := sha1.Sum(page.body)
	for name, hash := range list.HashTable {
		if strings.HasSuffix(name, "/"+x.Index) && hash != hex.EncodeToString(sum[:]) {
			x.warn("ngsw.json", name, "Inject or BaseHref changes the page, so that Angular's service worker finds another hash than it lists and stops updating; leave out the one or the other, or serve the configuration as a file")
		}
	}
}
