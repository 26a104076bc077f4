package spa

import (
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
	return base.ResolveReference(u).Path, true
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

// check finds what does not fit together in the build.
func (x *indexer) check(p page, srcs map[string]*source) {
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
