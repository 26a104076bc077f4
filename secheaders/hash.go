package secheaders

import (
	"errors"
	"fmt"
	"html"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"
)

// HashHTML reads one HTML file, the built page of an app, and returns the hash
// sources of its inline scripts and styles, as browsers compute them, each once:
//
//	script, style, err := secheaders.HashHTML(dist, "index.html")
//	c.CSP.Script = append(c.CSP.Script, script...)
//	c.CSP.Style = append(c.CSP.Style, style...)
//
// Hashed are <script> without src whose type is JavaScript, module, importmap or
// speculationrules, and every <style>, of whatever type, as Chromium does; not data
// blocks such as application/json, which browsers neither run nor block. Scripts in
// <template> and styles in <noscript> are included, for whoever makes them live.
// Attributes (onclick=, style=) are not: they need UnsafeHashes, and are better
// moved out.
//
// Serve the file as it was hashed: UTF-8, not rewritten. It is an error where the
// file is not UTF-8, where a script or style is never closed (browsers do not run
// it), and where one inside <svg> or <math> holds markup.
func HashHTML(fsys fs.FS, name string) (script, style []Source, err error) {
	page, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, nil, fmt.Errorf("secheaders: HashHTML: %w", err)
	}
	s := scanner{}
	if err := s.page(string(page)); err != nil {
		return nil, nil, fmt.Errorf("secheaders: HashHTML: %s: %w", name, err)
	}
	return s.scripts, s.styles, nil
}

// scanner follows as much of the HTML standard's tokenizer (section 13.2.5) and
// tree construction as decides where an inline script or style begins and ends.
type scanner struct {
	rest            string
	foreign         []string // open svg and math elements, and their HTML islands
	scripts, styles []Source
	inNoscript      bool
}

var (
	errUTF8     = errors.New("is not UTF-8")
	errUnclosed = errors.New("has a script or style that is never closed, which browsers do not run")
	errMarkup   = errors.New("has a script or style with markup in it inside svg or math; move it out of there, or into a file")
)

func (s *scanner) page(text string) error {
	if !utf8.ValidString(text) {
		return errUTF8
	}
	// Section 13.2.3.5: newlines are normalised before anything else, and so is
	// what is hashed.
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	return s.markup(text)
}

func (s *scanner) markup(text string) error {
	s.rest = text
	for {
		i := strings.IndexByte(s.rest, '<')
		if i < 0 || i+1 == len(s.rest) {
			return nil
		}
		s.rest = s.rest[i+1:]
		switch c := s.rest[0]; {
		case c == '!':
			s.declaration()
		case c == '?':
			s.skipPast(">") // a bogus comment
		case c == '/' && len(s.rest) > 1 && isLetter(s.rest[1]):
			s.rest = s.rest[1:]
			s.close(s.tag())
		case c == '/':
			s.skipPast(">") // "</>" and other bogus comments
		case isLetter(c):
			if err := s.open(s.tag()); err != nil {
				return err
			}
		}
	}
}

func (s *scanner) skipPast(end string) {
	if i := strings.Index(s.rest, end); i >= 0 {
		s.rest = s.rest[i+len(end):]
	} else {
		s.rest = ""
	}
}

// declaration skips a comment, a doctype or a CDATA section: section 13.2.5.42.
func (s *scanner) declaration() {
	switch {
	case strings.HasPrefix(s.rest, "!-->") || strings.HasPrefix(s.rest, "!--->"):
		s.skipPast(">") // closed abruptly
	case strings.HasPrefix(s.rest, "!--"):
		s.rest = s.rest[3:]
		end := strings.Index(s.rest, "-->")
		if end < 0 {
			end = len(s.rest)
		}
		if bang := strings.Index(s.rest[:end], "--!>"); bang >= 0 {
			s.rest = s.rest[bang+len("--!>"):]
			return
		}
		s.skipPast("-->")
	case s.inForeign() && strings.HasPrefix(s.rest, "![CDATA["):
		s.skipPast("]]>")
	default:
		s.skipPast(">")
	}
}

// tag is one start or end tag.
type tag struct {
	name        string
	attr        map[string]string // the first of each name wins
	selfClosing bool
}

// tag reads from the name to the closing bracket: sections 13.2.5.8 and 13.2.5.32
// to 40.
func (s *scanner) tag() tag {
	n := strings.IndexAny(s.rest, " \n\t\f/>")
	if n < 0 {
		s.rest = ""
		return tag{}
	}
	t := tag{name: lower(s.rest[:n]), attr: map[string]string{}}
	s.rest = s.rest[n:]
	for {
		s.rest = strings.TrimLeft(s.rest, " \n\t\f")
		switch {
		case s.rest == "":
			return tag{} // the end of the file in a tag: the tag is not there
		case s.rest[0] == '>':
			s.rest = s.rest[1:]
			return t
		case strings.HasPrefix(s.rest, "/>"):
			s.rest, t.selfClosing = s.rest[2:], true
			return t
		case s.rest[0] == '/':
			s.rest = s.rest[1:]
		default:
			name, value := s.attribute()
			if _, twice := t.attr[name]; !twice {
				t.attr[name] = value
			}
		}
	}
}

func (s *scanner) attribute() (name, value string) {
	n := strings.IndexAny(s.rest[1:], " \n\t\f/>=") // a leading "=" belongs to the name
	if n < 0 {
		s.rest = ""
		return "", ""
	}
	name, s.rest = lower(s.rest[:n+1]), strings.TrimLeft(s.rest[n+1:], " \n\t\f")
	after, ok := strings.CutPrefix(s.rest, "=")
	if !ok {
		return name, ""
	}
	s.rest = strings.TrimLeft(after, " \n\t\f")
	switch {
	case s.rest == "" || s.rest[0] == '>':
	case s.rest[0] == '"' || s.rest[0] == '\'':
		value, s.rest, _ = strings.Cut(s.rest[1:], s.rest[:1])
	default:
		n := strings.IndexAny(s.rest, " \n\t\f>")
		if n < 0 {
			n = len(s.rest)
		}
		value, s.rest = s.rest[:n], s.rest[n:]
	}
	return name, html.UnescapeString(value)
}

// open acts on a start tag.
func (s *scanner) open(t tag) error {
	if s.inForeign() {
		return s.openForeign(t)
	}
	switch t.name {
	case "script":
		n := scriptEnd(s.rest)
		return s.element(t, n, &s.scripts, inlineScript(t))
	case "style":
		return s.element(t, textEnd(s.rest, "style"), &s.styles, true)
	case "noscript":
		return s.noscript()
	case "title", "textarea", "iframe", "noembed", "noframes", "xmp":
		if n := textEnd(s.rest, t.name); n >= 0 {
			s.rest = s.rest[n:]
		} else {
			s.rest = ""
		}
	case "plaintext":
		s.rest = ""
	case "svg", "math":
		if !t.selfClosing {
			s.foreign = append(s.foreign, t.name)
		}
	}
	return nil
}

// element takes the n bytes of text of a script or style.
func (s *scanner) element(t tag, n int, list *[]Source, inline bool) error {
	if n < 0 {
		return errUnclosed
	}
	text := strings.ReplaceAll(s.rest[:n], "\x00", "\uFFFD")
	s.rest = s.rest[n:]
	if inline && (text != "" || t.name == "style") { // an empty script is not run, an empty style is checked
		s.add(list, text)
	}
	return nil
}

func (s *scanner) add(list *[]Source, text string) {
	if h := SHA256([]byte(text)); !slices.Contains(*list, h) {
		*list = append(*list, h)
	}
}

// noscript is text to a browser that runs scripts, and markup, in which styles
// but no scripts have effect, to one that does not.
func (s *scanner) noscript() error {
	if s.inNoscript {
		return nil
	}
	n := textEnd(s.rest, "noscript")
	if n < 0 {
		n = len(s.rest)
	}
	inner := scanner{inNoscript: true}
	if err := inner.markup(s.rest[:n]); err != nil {
		return err
	}
	for _, h := range inner.styles {
		if !slices.Contains(s.styles, h) {
			s.styles = append(s.styles, h)
		}
	}
	s.rest = s.rest[n:]
	return nil
}

// inForeign tells whether the innermost open element is svg or math content.
func (s *scanner) inForeign() bool {
	if len(s.foreign) == 0 {
		return false
	}
	last := s.foreign[len(s.foreign)-1]
	return last == "svg" || last == "math"
}

// islands hold HTML inside svg and math: section 13.2.6, integration points.
var islands = []string{"foreignobject", "desc", "title", "mi", "mo", "mn", "ms", "mtext", "annotation-xml"}

// breakouts close svg and math where they appear: section 13.2.6.5.
var breakouts = strings.Fields("b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li " +
	"listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var")

// breakOut leaves svg and math for the HTML around them.
func (s *scanner) breakOut() {
	for s.inForeign() {
		s.foreign = s.foreign[:len(s.foreign)-1]
	}
}

// openForeign acts on a start tag inside svg or math, where scripts and styles
// are ordinary elements: their text has character references and CDATA.
func (s *scanner) openForeign(t tag) error {
	switch {
	case slices.Contains(breakouts, t.name):
		s.breakOut()
	case t.selfClosing:
	case t.name == "svg" || t.name == "math" || slices.Contains(islands, t.name):
		s.foreign = append(s.foreign, t.name)
	case t.name == "script" || t.name == "style":
		return s.foreignText(t)
	}
	return nil
}

func (s *scanner) foreignText(t tag) error {
	var text strings.Builder
	for {
		i := strings.IndexByte(s.rest, '<')
		if i < 0 {
			return errUnclosed
		}
		text.WriteString(html.UnescapeString(strings.ReplaceAll(s.rest[:i], "\x00", "\uFFFD")))
		s.rest = s.rest[i:]
		if data, ok := strings.CutPrefix(s.rest, "<![CDATA["); ok {
			cdata, rest, ok := strings.Cut(data, "]]>")
			if !ok {
				return errUnclosed
			}
			text.WriteString(cdata)
			s.rest = rest
			continue
		}
		if !isTag(s.rest, "</"+t.name) {
			return errMarkup
		}
		break
	}
	if t.name == "style" {
		s.add(&s.styles, text.String())
		return nil
	}
	_, href := t.attr["href"]
	_, xlink := t.attr["xlink:href"]
	delete(t.attr, "src") // means nothing here
	if !href && !xlink && inlineScript(t) && text.Len() > 0 {
		s.add(&s.scripts, text.String())
	}
	return nil
}

// close acts on an end tag: of svg, math and their islands.
func (s *scanner) close(t tag) {
	if t.name == "p" || t.name == "br" {
		s.breakOut()
		return
	}
	for i := len(s.foreign) - 1; i >= 0; i-- {
		if s.foreign[i] == t.name {
			s.foreign = s.foreign[:i]
			return
		}
	}
}

// scriptEnd finds the end tag of a script: the "script data" states, sections
// 13.2.5.4 and 13.2.5.15 to 31. Inside <!-- a <script> hides one </script>. It is
// negative where there is none.
func scriptEnd(text string) int {
	escaped, double := false, false
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case !escaped && strings.HasPrefix(rest, "<!--"):
			escaped = true
			i++ // its dashes may be those of the "-->", too
		case escaped && strings.HasPrefix(rest, "-->"):
			escaped, double = false, false
		case escaped && !double && isTag(rest, "<script"):
			double = true
		case isTag(rest, "</script"):
			if !double {
				return i
			}
			double = false
		}
	}
	return -1
}

// textEnd finds the end tag of an element whose content is text, negative where
// there is none: sections 13.2.5.9 to 14.
func textEnd(text, name string) int {
	for i := range len(text) {
		if isTag(text[i:], "</"+name) {
			return i
		}
	}
	return -1
}

// isTag tells whether text begins with the tag, and the name ends there.
func isTag(text, begin string) bool {
	return len(text) > len(begin) && text[0] == '<' && strings.EqualFold(text[:len(begin)], begin) &&
		strings.IndexByte(" \n\t\f/>", text[len(begin)]) >= 0
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// lower is ASCII lower case: names are not folded beyond that.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// javaScript are the MIME type essences that HTML runs: the MIME Sniffing
// standard, section 4.6.
var javaScript = strings.Fields("application/ecmascript application/javascript application/x-ecmascript application/x-javascript " +
	"text/ecmascript text/javascript text/javascript1.0 text/javascript1.1 text/javascript1.2 text/javascript1.3 " +
	"text/javascript1.4 text/javascript1.5 text/jscript text/livescript text/x-ecmascript text/x-javascript")

// inlineScript tells whether the policy applies to the text of the script: HTML,
// section 4.12.1.1, "prepare the script element".
func inlineScript(t tag) bool {
	if _, src := t.attr["src"]; src {
		return false
	}
	kind, typed := t.attr["type"]
	language, spoken := t.attr["language"]
	switch {
	case typed && kind == "", !typed && (!spoken || language == ""):
		return true
	case typed:
		kind = strings.Trim(kind, " \t\n\f\r")
	default:
		kind = "text/" + language
	}
	kind = lower(kind)
	return slices.Contains(javaScript, kind) || kind == "module" || kind == "importmap" || kind == "speculationrules"
}
