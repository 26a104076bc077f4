package spa

import (
	"html"
	"strings"
)

// page is what a scan of the index page found. Offsets are into the scanned
// text, -1 where there is nothing.
type page struct {
	refs     []pageRef
	scripts  []string // inline scripts that a browser runs, as it hashes them
	styles   []string // inline style elements
	handlers []string // event handler attributes: onload="..."
	css      []string // style attributes
	jsURLs   bool     // a javascript: URL somewhere

	base               string // href of the first base element that has one
	baseStart, baseEnd int    // that element's tag
	headOpen           int    // behind <head>, else behind <html> or the doctype
	headClose          int    // before </head>, else before <body>
	headSeen           bool   // a second <html> or <head> is ignored
}

// pageRef is a URL that the page makes the browser load.
type pageRef struct {
	kind refKind
	url  string
}

type refKind int

const (
	refScript refKind = iota // script src, modulepreload
	refStyle
	refImage
	refFont
	refOther // manifests, preloads: the page works without
)

// essential tells whether the page does not work without what is referred to.
func (k refKind) essential() bool { return k == refScript || k == refStyle }

// scanHTML reads an index page as the tokenizer of the WHATWG's HTML standard
// (section 13.2.5) does with scripting enabled, as far as that decides which
// bytes are a script, a style, a tag or a comment. It is no tree builder: what
// stands in a template element or in foreign content counts like the rest, so
// at worst one hash or reference too many is found.
func scanHTML(doc string) page {
	p := page{baseStart: -1, baseEnd: -1, headOpen: -1, headClose: -1}
	for i := 0; i < len(doc); {
		lt := strings.IndexByte(doc[i:], '<')
		if lt < 0 {
			break
		}
		i += lt
		rest := doc[i:]
		switch {
		case strings.HasPrefix(rest, "<!--"):
			i += commentLen(rest)
		case strings.HasPrefix(rest, "<!"), strings.HasPrefix(rest, "<?"):
			i += upTo(rest, '>')
			if p.headOpen < 0 && len(rest) > 9 && strings.EqualFold(rest[2:9], "doctype") {
				p.headOpen = i
			}
		case len(rest) > 2 && rest[1] == '/' && isLetter(rest[2]):
			t := parseTag(rest[2:])
			if t.name == "head" && p.headClose < 0 {
				p.headClose = i
			}
			i += 2 + t.length
		case len(rest) > 1 && isLetter(rest[1]):
			t := parseTag(rest[1:])
			start := i
			i += 1 + t.length
			content := rawText(t.name, doc[i:])
			p.element(t, content, start, i)
			i += len(content)
		default:
			i++
		}
	}
	return p
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'
}

// upTo is the length of s up to and with the first c, or all of it.
func upTo(s string, c byte) int {
	if i := strings.IndexByte(s, c); i >= 0 {
		return i + 1
	}
	return len(s)
}

// commentLen is the length of the comment that s begins with. "<!-->" and
// "<!--->" are whole comments, and "--!>" ends one too.
func commentLen(s string) int {
	for i := 2; i+2 < len(s); i++ {
		if s[i] != '-' || s[i+1] != '-' {
			continue
		}
		if s[i+2] == '>' {
			return i + 3
		}
		if i >= 4 && strings.HasPrefix(s[i+2:], "!>") {
			return i + 4
		}
	}
	return len(s)
}

// tag is a start or end tag, from its name on.
type tag struct {
	name   string
	attrs  map[string]string
	length int // with the closing >
}

// parseTag reads a tag's name and attributes; s begins with its name.
func parseTag(s string) tag {
	end := strings.IndexFunc(s, func(r rune) bool { return r == '/' || r == '>' || r < 128 && isSpace(byte(r)) })
	if end < 0 {
		return tag{length: len(s)}
	}
	t := tag{name: strings.ToLower(s[:end]), attrs: map[string]string{}}
	i := end
	for i < len(s) {
		switch c := s[i]; {
		case c == '>':
			t.length = i + 1
			return t
		case c == '/' || isSpace(c):
			i++
		default:
			name, value, n := parseAttr(s[i:])
			if _, dup := t.attrs[name]; !dup { // the first one counts
				t.attrs[name] = value
			}
			i += n
		}
	}
	return tag{length: len(s)} // the document ends inside the tag: no tag
}

// parseAttr reads one attribute, whose first byte is no space, / or >.
func parseAttr(s string) (name, value string, length int) {
	i := 1 // a leading = belongs to the name
	for i < len(s) && s[i] != '=' && s[i] != '>' && s[i] != '/' && !isSpace(s[i]) {
		i++
	}
	name = strings.ToLower(s[:i])
	j := i
	for j < len(s) && isSpace(s[j]) {
		j++
	}
	if j == len(s) || s[j] != '=' {
		return name, "", i
	}
	for j++; j < len(s) && isSpace(s[j]); j++ {
	}
	if j == len(s) {
		return name, "", j
	}
	if q := s[j]; q == '"' || q == '\'' {
		n := upTo(s[j+1:], q)
		return name, attrText(strings.TrimSuffix(s[j+1:j+1+n], string(q))), j + 1 + n
	}
	k := j
	for k < len(s) && s[k] != '>' && !isSpace(s[k]) {
		k++
	}
	return name, attrText(s[j:k]), k
}

// attrText is an attribute's value as the browser has it.
func attrText(s string) string { return html.UnescapeString(newlines(s)) }

// newlines makes what the input stream preprocessor makes of line ends
// (section 13.2.3.5), and of NUL in raw text. A hash is of the text after it.
func newlines(s string) string {
	if strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s
}

// rawText is the content of an element whose content is no markup, "" for any
// other. doc begins behind the start tag.
func rawText(name, doc string) string {
	switch name {
	case "script":
		return doc[:scriptEnd(doc)]
	case "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript":
		return doc[:endTag(doc, 0, name)]
	case "plaintext":
		return doc
	}
	return ""
}

// endTag is the offset, from on, of "</name" with the end of a name behind it.
func endTag(doc string, from int, name string) int {
	for i := from; i < len(doc); i++ {
		lt := strings.Index(doc[i:], "</")
		if lt < 0 {
			break
		}
		i += lt
		if isNamed(doc[i+2:], name) {
			return i
		}
	}
	return len(doc)
}

// isNamed tells whether s begins with a whole tag name, in any case.
func isNamed(s, name string) bool {
	return len(s) > len(name) && strings.EqualFold(s[:len(name)], name) &&
		(isSpace(s[len(name)]) || s[len(name)] == '/' || s[len(name)] == '>')
}

// scriptEnd finds the end of a script's content. "<!--" begins the escaped
// state, in which a "<script" hides the next "</script" (section 13.2.5.18 on).
func scriptEnd(doc string) int {
	escaped, double := false, false
	for i := 0; i < len(doc); i++ {
		rest := doc[i:]
		switch {
		case strings.HasPrefix(rest, "<!--"):
			if !escaped {
				// The dashes of "<!--" may be those of "-->" too.
				escaped = true
				i++
			}
		case escaped && strings.HasPrefix(rest, "-->"):
			escaped, double = false, false
		case rest[0] != '<' || len(rest) < 2:
		case rest[1] == '/' && isNamed(rest[2:], "script"):
			if !double {
				return i
			}
			double = false
		case escaped && isNamed(rest[1:], "script"):
			double = true
		}
	}
	return len(doc)
}

// element records what one element tells. start and end are its start tag's.
func (p *page) element(t tag, content string, start, end int) {
	switch t.name {
	case "html":
		if !p.headSeen {
			p.headOpen = end
		}
	case "head":
		if !p.headSeen {
			p.headOpen, p.headSeen = end, true
		}
	case "body":
		p.headSeen = true
		if p.headClose < 0 {
			p.headClose = start
		}
	case "base":
		if href, ok := t.attrs["href"]; ok && p.baseStart < 0 {
			p.base, p.baseStart, p.baseEnd = strings.TrimSpace(href), start, end
		}
	case "style":
		p.styles = append(p.styles, newlines(content))
	case "script":
		p.script(t, content)
	case "link":
		p.link(t)
	case "img", "source":
		p.ref(refImage, t.attrs["src"])
	}
	for name, value := range t.attrs {
		switch {
		case strings.HasPrefix(name, "on") && len(name) > 2:
			p.handlers = append(p.handlers, value)
		case name == "style":
			p.css = append(p.css, value)
		case (name == "href" || name == "src" || name == "action") && isJavaScriptURL(value):
			p.jsURLs = true
		}
	}
}

func isJavaScriptURL(s string) bool {
	s = strings.TrimLeftFunc(s, func(r rune) bool { return r <= ' ' })
	return len(s) > 11 && strings.EqualFold(s[:11], "javascript:")
}

// script records a script by its type; a data block is neither run nor checked.
func (p *page) script(t tag, content string) {
	typ, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(t.attrs["type"])), ";")
	switch typ {
	case "", "module", "text/javascript", "application/javascript", "text/ecmascript", "application/ecmascript",
		"application/x-javascript", "text/x-javascript":
	case "importmap", "speculationrules": // not run, but checked like a script
	default:
		return
	}
	if src, ok := t.attrs["src"]; ok {
		p.ref(refScript, src)
	} else if content != "" {
		p.scripts = append(p.scripts, newlines(content))
	}
}

func (p *page) link(t tag) {
	href, as := t.attrs["href"], t.attrs["as"]
	for rel := range strings.FieldsSeq(strings.ToLower(t.attrs["rel"])) {
		switch rel {
		case "stylesheet":
			p.ref(refStyle, href)
		case "modulepreload":
			p.ref(refScript, href)
		case "icon", "apple-touch-icon", "mask-icon":
			p.ref(refImage, href)
		case "preload", "prefetch":
			if as == "font" {
				p.ref(refFont, href)
			} else {
				p.ref(refOther, href)
			}
		case "manifest":
			p.ref(refOther, href)
		}
	}
}

func (p *page) ref(kind refKind, url string) {
	if url = strings.TrimSpace(url); url != "" {
		p.refs = append(p.refs, pageRef{kind, url})
	}
}

// withBase returns the page with <base href="href">; false where there is no
// place for it.
func (p page) withBase(doc, href string) (string, bool) {
	element := `<base href="` + href + `">`
	switch {
	case p.baseStart >= 0:
		return doc[:p.baseStart] + element + doc[p.baseEnd:], true
	case p.headOpen >= 0:
		return doc[:p.headOpen] + element + doc[p.headOpen:], true
	}
	return doc, false
}

// withConfig returns the page with the JSON at the end of its head; false where
// there is no place for it.
func (p page) withConfig(doc string, json []byte) (string, bool) {
	if p.headClose < 0 {
		return doc, false
	}
	return doc[:p.headClose] + `<script type="application/json" id="app-config">` + string(json) + `</script>` + doc[p.headClose:], true
}
