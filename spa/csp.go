package spa

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Needs is what the app needs of a Content-Security-Policy beyond 'self', read
// from the build as it is served, after Inject and BaseHref. It is found by
// reading, not by running: hashes are exact, what scripts will fetch from other
// hosts cannot be seen, and the flags err towards yes. Every string is a
// source of the policy as it stands: secheaders.Source(s).
type Needs struct {
	// ScriptHashes and StyleHashes are of the inline elements of the index page,
	// as `'sha256-...'`, for script-src and style-src.
	ScriptHashes, StyleHashes []string
	// ScriptAttrHashes and StyleAttrHashes are of event handlers (onload="...")
	// and style attributes in the index page, for script-src-attr and
	// style-src-attr, which need 'unsafe-hashes' beside them. Better build
	// without them: Angular's onload goes with "inlineCritical": false.
	ScriptAttrHashes, StyleAttrHashes []string
	// InlineStyle tells that scripts of the app create style elements, as
	// Angular's components and CSS-in-JS do: style-src needs 'unsafe-inline', and
	// then no hash, which would switch that off.
	InlineStyle bool
	// Wasm asks for 'wasm-unsafe-eval' in script-src, BlobWorker for blob: in
	// worker-src.
	Wasm, BlobWorker bool
	// DataImages and DataFonts ask for data: in img-src and font-src: bundlers
	// put small files into the style sheet. BlobImages asks for blob: in img-src,
	// for Flutter's images.
	DataImages, DataFonts, BlobImages bool
	// The other origins that the page, its style sheets and Flutter's engine
	// load from: "https://fonts.googleapis.com"; the engine's with its path.
	ScriptHosts, StyleHosts, ConnectHosts, FontHosts, ImgHosts []string
}

// CSP returns what the build needs of a Content-Security-Policy. A fresh copy.
func (m *Middleware) CSP() Needs {
	n := m.built.Load().needs
	for _, list := range n.lists() {
		*list = slices.Clone(*list)
	}
	return n
}

func (n *Needs) lists() []*[]string {
	return []*[]string{
		&n.ScriptHashes, &n.StyleHashes, &n.ScriptAttrHashes, &n.StyleAttrHashes,
		&n.ScriptHosts, &n.StyleHosts, &n.ConnectHosts, &n.FontHosts, &n.ImgHosts,
	}
}

const (
	googleStyles = "https://fonts.googleapis.com"
	googleFonts  = "https://fonts.gstatic.com"
	// With its path: the host serves much else, old script libraries too.
	engineCDN = "https://www.gstatic.com/flutter-canvaskit/"
)

// findNeeds reads the page, the scripts and the style sheets of the build.
func (x *indexer) findNeeds(p page, srcs map[string]*source) Needs {
	n := Needs{
		ScriptHashes: hashAll(p.scripts), StyleHashes: hashAll(p.styles),
		ScriptAttrHashes: hashAll(p.handlers), StyleAttrHashes: hashAll(p.css),
	}
	for _, r := range p.refs {
		n.addRef(r)
	}
	if s := srcs[x.Index]; s != nil {
		n.readText(string(s.body))
	}
	for name, s := range srcs {
		switch ext := extension(name); ext {
		case ".wasm":
			n.Wasm = true
		case ".js", ".mjs", ".css":
			text := s.text()
			n.readText(text)
			if ext == ".css" {
				n.readCSS(text)
			} else {
				n.readJS(text)
			}
		}
	}
	for _, css := range p.styles {
		n.readCSS(css)
	}
	if x.flutter != nil {
		x.flutter.addNeeds(&n)
	}
	if slices.Contains(n.StyleHosts, googleStyles) {
		n.FontHosts = append(n.FontHosts, googleFonts)
	}
	for _, list := range n.lists() {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return n
}

// text is what a source holds, also where it is too large to be held; files
// beyond maxIndex are not read again.
func (s *source) text() string {
	if s.body != nil || s.size > maxIndex {
		return string(s.body)
	}
	f, err := s.open()
	if err != nil {
		return ""
	}
	defer closeFile(f)
	var b bytes.Buffer
	_, _ = io.Copy(&b, io.LimitReader(f, maxIndex))
	return b.String()
}

func hashAll(texts []string) []string {
	var hashes []string
	for _, t := range texts {
		sum := sha256.Sum256([]byte(t))
		hashes = append(hashes, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	return hashes
}

// originOf returns the origin of an absolute reference, "" for any other.
func originOf(ref string) string {
	if strings.HasPrefix(ref, "//") {
		ref = "https:" + ref
	}
	u, err := url.Parse(ref)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

func (n *Needs) addRef(r pageRef) {
	origin := originOf(r.url)
	if origin == "" {
		return
	}
	switch r.kind {
	case refScript:
		n.ScriptHosts = append(n.ScriptHosts, origin)
	case refStyle:
		n.StyleHosts = append(n.StyleHosts, origin)
	case refFont:
		n.FontHosts = append(n.FontHosts, origin)
	case refImage:
		n.ImgHosts = append(n.ImgHosts, origin)
	}
}

// readText looks for data URLs, in whatever file.
func (n *Needs) readText(text string) {
	n.DataImages = n.DataImages || strings.Contains(text, "data:image/")
	for _, font := range []string{"data:font/", "data:application/font", "data:application/x-font"} {
		n.DataFonts = n.DataFonts || strings.Contains(text, font)
	}
}

func (n *Needs) readJS(text string) {
	for _, call := range []string{"WebAssembly.instantiate", "WebAssembly.compile", "WebAssembly.Module"} {
		n.Wasm = n.Wasm || strings.Contains(text, call)
	}
	n.BlobWorker = n.BlobWorker || strings.Contains(text, "createObjectURL") && strings.Contains(text, "new Worker(")
	for _, quote := range []string{`"`, "'", "`"} {
		n.InlineStyle = n.InlineStyle || strings.Contains(text, "createElement("+quote+"style"+quote)
	}
}

var cssURL = regexp.MustCompile(`(?i)(@import\s+)?(?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)`)

func (n *Needs) readCSS(text string) {
	for _, m := range cssURL.FindAllStringSubmatch(text, -1) {
		origin := originOf(m[2])
		switch {
		case origin == "":
		case strings.HasPrefix(m[0], "@"):
			n.StyleHosts = append(n.StyleHosts, origin)
		case isFont(m[2]):
			n.FontHosts = append(n.FontHosts, origin)
		default:
			n.ImgHosts = append(n.ImgHosts, origin)
		}
	}
}

func isFont(ref string) bool {
	ref, _, _ = strings.Cut(ref, "?")
	ref, _, _ = strings.Cut(ref, "#")
	return slices.Contains([]string{".woff2", ".woff", ".ttf", ".otf", ".eot"}, strings.ToLower(path.Ext(ref)))
}
