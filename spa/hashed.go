package spa

import (
	"iter"
	"path"
	"strings"
)

// hashing knows which names of one build carry a hash of their content, so that
// what they name can never change and may be cached for ever. A wrong yes is
// far worse than a wrong no: it leaves an old file in browsers for a year, a no
// costs one 304. So a name must show it: a bundler's directory, or a token in
// the place where bundlers put the hash that no person would write.
type hashing struct {
	none bool // a Flutter build: main.dart.js, assets/...: no name is a hash
	// dirs are the directories in which a bundler writes: there a token may be
	// read more leniently.
	dirs map[string]bool
}

// bundlerDirs hold nothing but what the framework names by content (or, for
// Next.js, by build), and are served as immutable by the frameworks' own servers.
var bundlerDirs = []string{"_app/immutable/", "_next/static/"}

// detectHashing learns where a bundler writes: where the index page loads scripts
// and styles with a hash from, and where two scripts or styles show one by
// themselves.
func detectHashing(flutter bool, names iter.Seq[string], loaded []string) hashing {
	h := hashing{none: flutter, dirs: map[string]bool{"_nuxt": true, "_astro": true}}
	for _, name := range loaded {
		if tok, _ := hashToken(name); tok != "" && isHash(tok, code) {
			h.dirs[path.Dir(name)] = true
		}
	}
	shown := map[string]int{}
	for name := range names {
		if tok, whole := hashToken(name); tok != "" && !whole && isCode(name) && isHash(tok, stranger) {
			dir := path.Dir(name)
			if shown[dir]++; shown[dir] == 2 {
				h.dirs[dir] = true
			}
		}
	}
	return h
}

func isCode(name string) bool {
	switch path.Ext(name) {
	case ".js", ".mjs", ".css":
		return true
	}
	return false
}

// trusted tells whether a bundler writes into the name's directory. CRA puts
// siblings beside what the page names: static/js, static/css, static/media.
// Angular names media/ beside the page.
func (h hashing) trusted(name string) bool {
	dir := path.Dir(name)
	if h.dirs[dir] {
		return true
	}
	switch dir {
	case "static/js", "static/css", "static/media":
		return h.dirs["static/js"]
	case "media":
		return h.dirs["."]
	}
	for d := range h.dirs { // _nuxt/ and _astro/ have directories below them
		if d != "." && strings.HasPrefix(dir, d+"/") {
			return true
		}
	}
	return false
}

// trust is how a name in a place is read.
type trust int

const (
	stranger trust = iota // in no bundler's directory: a token must show itself
	media                 // in one, where people put images of their own too
	code                  // in one, and a script or a style sheet
)

func (h hashing) trust(name string) trust {
	if !h.trusted(name) {
		return stranger
	}
	if isCode(name) {
		return code
	}
	return media
}

// hashed tells whether the name is proven to carry a hash of the content.
func (h hashing) hashed(name string) bool {
	if h.none {
		return false
	}
	for _, dir := range bundlerDirs {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	tok, whole := hashToken(name)
	if tok == "" {
		return false
	}
	if whole && h.trust(name) == stranger && len(tok) < 16 {
		return false // a1b2c3d4.js alone may be anybody's name
	}
	return isHash(tok, h.trust(name))
}

// hashToken returns the part of a file name that may be a hash:
//
//	index-BxYz12_-.js          Vite, Rollup 4, Astro: 8 of base64url
//	chunk-kZQxfSQe2.js         Rolldown, Angular from 21: the same and a number
//	main-5INURTSO.js           Angular, esbuild: 8 of base32
//	main.8d3a0e2f.chunk.css    CRA, webpack, Parcel, Angular to 16: hex
//	0a1b2c3d4e5f6a7b.css       Next.js, Nuxt: nothing but the hash (whole)
//	app-0a1b2c3d4e5f6a7b_bg.wasm   wasm-bindgen
//
// and "" for any other name: other lengths, a source map or a licence beside a
// hashed script (its content can change while the script's does not), a UUID.
func hashToken(name string) (tok string, whole bool) {
	base := path.Base(name)
	ext := path.Ext(base)
	if ext == "" || ext == ".map" || ext == ".txt" || ext == ".html" {
		return "", false
	}
	stem := strings.TrimSuffix(base, ext)
	for _, s := range []string{".chunk", ".bundle", ".min", ".module", ".async", ".worker", "_bg"} {
		stem = strings.TrimSuffix(stem, s)
	}
	if isUUID(stem) {
		return "", false
	}
	// base64url itself has - and _, so the token is measured from the end.
	if n := len(stem) - 8; n == 0 || n > 1 && isSeparator(stem[n-1]) && isBase64URL(stem[n:]) {
		return stem[n:], n == 0
	}
	// Rollup and Rolldown number names that would differ in case alone.
	if n := len(stem) - 9; n > 1 && isSeparator(stem[n-1]) && '2' <= stem[n+8] && stem[n+8] <= '9' && isBase64URL(stem[n:]) {
		return stem[n:], false
	}
	tok = afterSeparator(stem)
	switch len(tok) {
	case 8, 10, 12, 16, 20, 32, 40, 64:
		return tok, tok == stem
	}
	return "", false
}

func isSeparator(c byte) bool { return c == '-' || c == '.' }

// afterSeparator is what follows the last - or . of a stem.
func afterSeparator(stem string) string { return stem[strings.LastIndexAny(stem, "-.")+1:] }

func isBase64URL(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAllHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isUUID tells whether s ends in a UUID: an identity, not a content.
func isUUID(s string) bool {
	if len(s) < 36 {
		return false
	}
	s = s[len(s)-36:]
	return s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && isAllHex(strings.ToLower(strings.ReplaceAll(s, "-", "")))
}

// isHash tells whether a token of one of the known lengths is a hash. In a
// directory where a bundler writes it is one unless it reads like words, dates
// or sizes; elsewhere it must show digits among letters as well.
func isHash(tok string, t trust) bool {
	trusted := t != stranger
	if len(tok) == 9 {
		return t == code && isHash(tok[:8], t)
	}
	digits, letters := 0, 0
	for i := range len(tok) {
		switch c := tok[i]; {
		case '0' <= c && c <= '9':
			digits++
		case isLetter(c):
			letters++
		}
	}
	if isAllHex(tok) {
		switch {
		case digits > 0 && letters > 0:
			return true
		case letters == 0: // one in 43 of eight hex digits; a date has as many
			return trusted && !isDate(tok)
		default:
			return trusted && len(tok) > 8 // "deadbeef"
		}
	}
	if len(tok) != 8 || !isBase64URL(tok) {
		return false
	}
	if !trusted && (digits == 0 || letters < 3) {
		return false
	}
	return isUpperBase32(tok) && (trusted || digits > 0) && !isVersion(tok) || !readsLikeWords(tok, t)
}

// isUpperBase32 tells esbuild's alphabet. Eight capitals in a row are no name
// that people give to files of an app.
func isUpperBase32(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// isVersion tells letters followed by digits: VERSION2, CHAPTER7.
func isVersion(s string) bool {
	i := 0
	for i < len(s) && isLetter(s[i]) {
		i++
	}
	return i >= 5 && i < len(s) && strings.Trim(s[i:], "0123456789") == "" && english(s[:i])
}

// isDate tells 20240131.
func isDate(s string) bool {
	return len(s) == 8 && (strings.HasPrefix(s, "19") || strings.HasPrefix(s, "20")) &&
		s[4:6] <= "12" && s[6:8] <= "31"
}

// readsLikeWords tells whether a token consists of few parts, each of which is
// a number, a size (1920x108) or a word: settings, portrait, IMG_2024, LogoDark,
// v20latin. Of random tokens fewer than one in two hundred do. Nobody names a
// script by several of them run together.
func readsLikeWords(tok string, t trust) bool {
	var words []string
	parts, chars := 0, 0
	for i := 0; i < len(tok); {
		j := i + 1
		switch c := tok[i]; {
		case !isAlnum(c):
			i = j
			continue
		case isLetter(c):
			j = wordEnd(tok, i)
			words = append(words, tok[i:j])
		default:
			for j < len(tok) && (isDigit(tok[j]) || tok[j] == 'x' && j+1 < len(tok) && isDigit(tok[j+1])) {
				j++
			}
		}
		parts, chars = parts+1, chars+j-i
		i = j
	}
	if chars*3 < parts*8 || t == code && len(words) > 1 { // Bx-Yz-12, CrySNcox
		return false
	}
	for _, w := range words {
		// Several parts run together are rarer in names than in random letters,
		// so their words must look like English ones.
		if !pronounceable(w) || parts > 1 && !english(w) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// wordEnd is the end of the word at i: small letters after one of either case, or
// capitals alone.
func wordEnd(s string, i int) int {
	capitals := i+1 < len(s) && s[i] < 'a' && s[i+1] < 'a'
	for i++; i < len(s) && isLetter(s[i]) && (s[i] < 'a') == capitals; i++ {
	}
	return i
}

// pronounceable tells whether vowels and consonants alternate as in words.
func pronounceable(s string) bool {
	vowels, run, vowelRun, longest, longestVowels := 0, 0, 0, 0, 0
	for i := range len(s) {
		if strings.IndexByte("aeiouy", s[i]|0x20) >= 0 {
			vowels, vowelRun, run = vowels+1, vowelRun+1, 0
		} else {
			run, vowelRun = run+1, 0
		}
		longest, longestVowels = max(longest, run), max(longestVowels, vowelRun)
	}
	return len(s) <= 3 || vowels*5 >= len(s) && longest <= 4 && longestVowels <= 3
}

// english tells whether each two neighbouring letters are frequent neighbours.
func english(s string) bool {
	for i := range len(s) - 1 {
		if !strings.Contains(pairs, strings.ToLower(s[i:i+2])+" ") {
			return false
		}
	}
	return true
}

const pairs = "th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de se le sa si ar ve " +
	"ra ld ur ro ri io ic ne me ce li ll ma om co el ho us ut tr no di ta la so ss lo fo ol ac ca mo be un wi pe po ch ow " +
	"ot pr sh ge ag em ns im oo pa ts fe da am ct ec ul wh ai mi su ad id ay op fi ir bl ov ke ni nc gr ba rt rd rs ee ev " +
	"iv ie do go ga ru cl pl fl sl br cr dr fr sp sk sc sw tw qu gh ck rk nk rm rn ly ty ry vi va vo wa we wo hu bu mu nu " +
	"lu du cu pu tu up ap ep ip ub ob ab ib ug og ig ud od ex ox ix if af ff pp tt nn mm rr gg dd ey oy my by bo bi bg " +
	"av pt mg wn ft ks lt mb mp nf nv rb rf rg rl rp rv sm sn sq ue ui uc ua ws xt yp ys "
