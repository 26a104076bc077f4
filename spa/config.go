package spa

import (
	"encoding/json"
	"io/fs"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Config describes one built app and the URL space it lives in. The zero Config
// is an error: FS has no safe default.
type Config struct {
	// FS holds the finished build, its root the directory with Index in it.
	// Required. Use an embed.FS (through fs.Sub), or [OpenDir] for a directory.
	// Prefer OpenDir to os.DirFS: symbolic links are followed only through
	// OpenDir, where none can lead out of the directory.
	//
	// With go:embed write "//go:embed all:dist": without "all:" every file whose
	// name begins with _ or . is silently left out.
	FS fs.FS

	// Prefix is the URL path below which the app lives; it begins and ends with
	// a slash. Default "/". A build must know it too (Vite's base, Angular's and
	// Flutter's --base-href): see BaseHref.
	Prefix string

	// Index is the name in FS of the page that every navigation gets. Default
	// "index.html".
	Index string

	// Exclude lists URL path prefixes that never fall back to Index: what lies
	// below them is an API's, and an HTML page with status 200 would be read as
	// its answer. A prefix counts in whole segments: "/api/" and "/api" both
	// cover /api and /api/x, neither /apiary. Default (nil) "/api/"; an empty
	// non-nil slice excludes nothing. A list replaces the default. A single path
	// ("/env.js") says that another handler serves it, also to the build check.
	Exclude []string

	// Navigate tells whether a GET or HEAD for a path without a file is a
	// navigation, which gets Index, or the request of a script, which gets 404.
	// nil is the built-in rule: Sec-Fetch-Dest document, iframe or frame; where
	// that header is absent, an Accept with text/html, exactly "*/*", or none.
	// Browsers send Sec-Fetch-Dest over HTTPS and to localhost; over plain HTTP a
	// bare fetch() looks like curl and gets the page.
	// It runs for every such request and must not block.
	Navigate func(*http.Request) bool

	// Immutable lists further files whose names change with their content, as
	// patterns of [path.Match] on the name in FS ("fonts/*.woff2"); a pattern
	// that ends in "/**" covers everything below. These are cached for a year
	// without being asked about again: a file that changes under the same name
	// stays old in every browser that has it. Index is never immutable.
	Immutable []string

	// Types gives or replaces media types by extension: {".glb":
	// "model/gltf-binary"}. The built-in table does not depend on the machine.
	// An extension named here is also one whose missing files are a 404.
	Types map[string]string

	// MaxMemory bounds the bytes of file bodies held in memory: files up to
	// 1 MiB, smallest first, and gzip made of compressible files that came
	// without. Default 64 MiB. Larger files, and what does not fit, are opened
	// for each request by their indexed name and refused (503) if their size or
	// time is no longer the indexed one. Too small a bound costs system calls
	// and compression, never correctness. Index is always held.
	MaxMemory int64

	// Inject is configuration for the running app, put into Index as
	//
	//	<script type="application/json" id="app-config">{...}</script>
	//
	// at the end of head; the app reads it with
	// JSON.parse(document.getElementById('app-config').textContent). It is
	// encoded once, by New, so that nothing in it can end the element, and needs
	// no entry in a Content-Security-Policy, because it does not run. Everyone
	// who loads the page reads it: no secrets.
	Inject map[string]any

	// BaseHref sets the href of <base> in Index; it begins and ends with a
	// slash. A build with relative references is a white page on every deep
	// link without it. Default "": the page stays as it is.
	BaseHref string

	// Versioned serves a Flutter build, whose file names carry no hash, under a
	// path with the hash of the whole build: its files become immutable, and a
	// deploy atomic, because no page mixes files of two builds. Nothing is built
	// again: flutter_bootstrap.js is told the path when it is served. It also
	// leaves out Flutter's own service worker, whose cache would bring the mixing
	// back; heal clients that have it with KillWorkers. Set it for every Flutter
	// build. New refuses a build that it cannot patch (Flutter before 3.22), and
	// any that is not Flutter's: other bundlers name files by their content.
	Versioned bool

	// Previous holds older builds whose immutable files stay reachable, newest
	// first: a page loaded before a deploy asks for its own chunks after it, and
	// without them is a white page at the next click. See "Deploys" in the
	// package comment. A file of FS wins over one of the same name here. An empty
	// one is ignored: before the first deploy there is none.
	Previous []fs.FS

	// KillWorkers lists URL paths at which a service worker was once served.
	// Each is answered with a worker that empties the caches, unregisters
	// itself and reloads the pages that the old worker controlled: the only way
	// to reach a client whose worker serves the old app from its cache. Do not
	// list a worker the app still registers. It deletes all caches of the
	// origin, those of other apps there too.
	KillWorkers []string

	// Logger is told of build warnings, once by New, of files that changed, and
	// of Dev. nil is silent.
	Logger *slog.Logger

	// Dev reads the build from FS anew on every request and caches nothing: for
	// working on the app, never for production, where it hashes the whole build
	// for each request. It says so in the log. A build that fails its check
	// leaves the last good one in place.
	Dev bool
}

const (
	defaultMaxMemory = 64 << 20
	defaultIndex     = "index.html"
)

// options is a Config that was checked and copied.
type options struct {
	Config
	exclude []string // without the trailing slash
	inject  []byte   // the JSON of Inject, nil for none
	types   map[string]string
}

// compile checks the Config, reports every mistake and returns a deep copy with
// the defaults filled in.
func compile(c Config, bad *mistakes.List) *options {
	if c.FS == nil {
		bad.Add("FS", "", "is required: an embed.FS below fs.Sub, or spa.OpenDir(dir)")
	}
	for i, f := range c.Previous {
		if f == nil {
			bad.Add(indexed("Previous", i), "", "is nil; leave it out")
		}
	}
	c.Previous = slices.DeleteFunc(slices.Clone(c.Previous), func(f fs.FS) bool { return f == nil })
	c.Immutable = slices.Clone(c.Immutable)
	c.KillWorkers = slices.Clone(c.KillWorkers)
	if c.Prefix == "" {
		c.Prefix = "/"
	}
	c.Prefix = checkDirPath(bad, "Prefix", c.Prefix)
	if c.Index == "" {
		c.Index = defaultIndex
	}
	if !fs.ValidPath(c.Index) || c.Index == "." {
		bad.Add("Index", c.Index, "is no name in a file system: no leading slash, no .. (see io/fs.ValidPath)")
		c.Index = defaultIndex
	}
	switch {
	case c.MaxMemory < 0:
		bad.Add("MaxMemory", "", "is negative; 0 means 64 MiB, 1 holds Index alone")
	case c.MaxMemory == 0:
		c.MaxMemory = defaultMaxMemory
	}
	if c.BaseHref != "" {
		c.BaseHref = checkDirPath(bad, "BaseHref", c.BaseHref)
	}
	o := &options{Config: c}
	o.compileExclude(bad)
	o.compileTypes(bad)
	o.compileInject(bad)
	for i, p := range c.Immutable {
		if _, err := path.Match(p, ""); err != nil || p == "" || p[0] == '/' {
			bad.Add(indexed("Immutable", i), p, "is no pattern of path.Match on a name in FS; names begin without a slash")
		}
	}
	for i, p := range c.KillWorkers {
		if !isPlainPath(p) || strings.HasSuffix(p, "/") {
			bad.Add(indexed("KillWorkers", i), p, `is no URL path of a worker; it reads like "/service-worker.js"`)
		}
	}
	return o
}

// checkDirPath wants a clean URL path with a slash at both ends. It returns the
// path that was meant, so that the build can be checked in the same run.
func checkDirPath(bad *mistakes.List, field, p string) string {
	fixed := strings.TrimSuffix(path.Clean("/"+p), "/") + "/"
	if !isPlainPath(fixed) {
		bad.Add(field, p, "has a byte that a URL path does not have unescaped")
		return "/"
	}
	if fixed != p {
		bad.Add(field, p, "is not a clean path with a slash at both ends; did you mean %q?", fixed)
	}
	return fixed
}

// isPlainPath tells whether p is a clean absolute URL path, but for a trailing
// slash, that needs no escaping in a URL nor in HTML.
func isPlainPath(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	for i := range len(p) {
		if c := p[i]; !isAlnum(c) && strings.IndexByte("/-._~!$+,;:@()", c) < 0 {
			return false
		}
	}
	clean := path.Clean(p)
	return p == clean || p == clean+"/"
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func (o *options) compileExclude(bad *mistakes.List) {
	if o.Exclude == nil {
		o.exclude = []string{"/api"}
		return
	}
	for i, p := range o.Exclude {
		trimmed := strings.TrimSuffix(p, "/")
		switch {
		case p == "/":
			bad.Add(indexed("Exclude", i), p, "would exclude every path; for no fallback at all let Navigate return false")
		case !isPlainPath(p):
			bad.Add(indexed("Exclude", i), p, `is no URL path prefix; it reads like "/api/", without wildcards`)
		default:
			o.exclude = append(o.exclude, trimmed)
		}
	}
	o.Exclude = nil
}

func (o *options) compileTypes(bad *mistakes.List) {
	o.types = maps.Clone(builtinTypes)
	for _, ext := range slices.Sorted(maps.Keys(o.Types)) {
		typ := o.Types[ext]
		field := `Types["` + ext + `"]`
		if len(ext) < 2 || ext[0] != '.' || len(ext) > maxExt || strings.ContainsAny(ext[1:], "./\\") {
			bad.Add(field, "", `is no extension; it reads like ".glb"`)
			continue
		}
		if _, _, err := mime.ParseMediaType(typ); err != nil || !headervalue.IsValue(typ) || !strings.Contains(typ, "/") {
			bad.Add(field, typ, `is no media type; it reads like "model/gltf-binary"`)
			continue
		}
		o.types[strings.ToLower(ext)] = typ
	}
	o.Types = nil
}

func (o *options) compileInject(bad *mistakes.List) {
	if o.Inject == nil {
		return
	}
	// json escapes <, > and & and the two line separators of JavaScript, so that
	// no value can contain "</script" or "<!--".
	inject, err := json.Marshal(o.Inject)
	if err != nil {
		bad.Add("Inject", "", "cannot be encoded as JSON: %v", err)
	}
	o.inject = inject
	o.Inject = nil
}

// excluded tells whether the URL path lies at or below an excluded prefix.
func (o *options) excluded(p string) bool {
	for _, x := range o.exclude {
		if rest, ok := strings.CutPrefix(p, x); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// immutable tells whether a pattern of Immutable covers the name.
func (o *options) immutable(name string) bool {
	for _, p := range o.Immutable {
		if dir, ok := strings.CutSuffix(p, "/**"); ok && strings.HasPrefix(name, dir+"/") {
			return true
		}
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return false
}
