package spa

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxHeld is the largest file, in bytes, whose body is held in memory.
	maxHeld = 1 << 20
	// maxIndex bounds the index page, which is held and rewritten whole.
	maxIndex = 16 << 20
	// maxGzip bounds the files that are compressed at start, which takes about
	// half a second at this size.
	maxGzip = 16 << 20
	// minGzip is the size below which a coding saves no packet.
	minGzip = 256

	cacheForever = "public, max-age=31536000, immutable"
	cacheNever   = "no-cache" // kept, but asked about before each use
)

// build is everything there is to know about the app: what a request can get,
// by whole URL path. It never changes once it is made.
type build struct {
	files    map[string]*file
	index    *file
	needs    Needs
	warnings []*BuildError
}

// file is one thing that a URL path names.
type file struct {
	ctype, cache string
	// vary belongs to an answer for the file's own path, pageVary to one where
	// the request's headers chose the index page.
	vary, pageVary vary
	variants       []variant // from the smallest to identity, which is last
	redirect       string    // instead of all that: a path with a slash at the end
}

// variant is a file in one coding.
type variant struct {
	coding       coding
	etag, length string
	size         int64
	body         []byte  // nil where source is opened for each request
	source       *source // where body is nil
}

// source is a file of an fs.FS as it was when it was indexed.
type source struct {
	fsys fs.FS
	name string
	size int64
	mod  time.Time
	sum  [sha256.Size]byte
	body []byte // nil where the file is larger than maxHeld
	made bool   // body is no longer what the file holds
}

// indexer makes a build.
type indexer struct {
	*options
	budget  int64         // bytes that may still be held
	flutter *flutterBuild // nil for other builds
	out     *build
	errs    []error
	zip     *gzip.Writer
}

// newBuild indexes FS and Previous. The errors are what makes the app fail.
func newBuild(o *options) (*build, []error) {
	x := &indexer{options: o, budget: o.MaxMemory, out: &build{files: map[string]*file{}}}
	srcs := x.walk(o.FS)
	x.flutter = x.readFlutter(srcs)
	p := x.page(srcs)
	x.addAll(srcs, detectHashing(x.flutter != nil, maps.Keys(srcs), x.localRefs(p, srcs)))
	x.check(p, srcs)
	x.out.needs = x.findNeeds(p, srcs)
	for _, fsys := range o.Previous {
		x.addPrevious(fsys)
	}
	x.addWorkers()
	if o.Prefix != "/" {
		x.redirect(strings.TrimSuffix(o.Prefix, "/"))
	}
	return x.out, x.errs
}

func (x *indexer) fail(file, ref, reason string, args ...any) {
	x.errs = append(x.errs, &BuildError{file, ref, fmt.Sprintf(reason, args...)})
}

func (x *indexer) warn(file, ref, reason string, args ...any) {
	x.out.warnings = append(x.out.warnings, &BuildError{file, ref, fmt.Sprintf(reason, args...)})
}

// walk reads every file that may be served: regular, in no directory and of no
// name that begins with a dot, but for /.well-known/.
func (x *indexer) walk(fsys fs.FS) map[string]*source {
	srcs := map[string]*source{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			x.fail(name, "", "cannot be read: %v", err)
			return nil
		}
		base := path.Base(name)
		if base[0] == '.' && name != "." && name != ".well-known" {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if !isServable(name) {
			x.warn(name, "", "has a backslash, a control byte or no UTF-8 in its name and is not served")
			return nil
		}
		if s := x.read(fsys, name, d); s != nil {
			srcs[name] = s
		}
		return nil
	})
	if err != nil {
		x.fail("", "", "the build cannot be read: %v", err)
	}
	return srcs
}

// isServable refuses names that parts of the way read differently.
func isServable(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c == 0x7f || c == '\\' {
			return false
		}
	}
	return utf8.ValidString(name)
}

// read hashes a file, and keeps its body where it is small enough; nil where it
// is not to be served. It asks what a name is before it opens it: a pipe would
// never return.
func (x *indexer) read(fsys fs.FS, name string, d fs.DirEntry) *source {
	link := d.Type()&fs.ModeSymlink != 0
	if _, rooted := fsys.(rootedDir); link && !rooted {
		x.warn(name, "", "is a symbolic link and is not served: only spa.OpenDir follows links, because none can leave its directory")
		return nil
	}
	info, err := fs.Stat(fsys, name)
	switch {
	case link && err != nil:
		x.warn(name, "", "is a symbolic link that leads out of the directory, or nowhere, and is not served")
		return nil
	case err != nil:
		x.fail(name, "", "cannot be read: %v", err)
		return nil
	case !info.Mode().IsRegular():
		x.warn(name, "", "is no regular file and is not served")
		return nil
	}
	s := &source{fsys: fsys, name: name, size: info.Size(), mod: info.ModTime()}
	if err := s.load(s.size <= maxHeld || name == x.Index && s.size <= maxIndex); err != nil {
		x.fail(name, "", "cannot be read: %v", err)
		return nil
	}
	return s
}

// load hashes what a source holds and, if wanted, keeps it.
func (s *source) load(keep bool) error {
	f, err := s.open()
	if err != nil {
		return err
	}
	defer closeFile(f)
	var body bytes.Buffer
	h := sha256.New()
	w := io.Writer(h)
	if keep {
		body.Grow(int(s.size))
		w = io.MultiWriter(h, &body)
	}
	n, err := io.Copy(w, f)
	if err == nil && n != s.size {
		err = errChanged
	}
	h.Sum(s.sum[:0])
	if keep {
		s.body = body.Bytes()
		if s.body == nil {
			s.body = []byte{}
		}
	}
	return err
}

// errChanged is of a file that is no longer what was indexed.
var errChanged = errors.New("the file changed since the build was indexed")

// setBody replaces what a source holds.
func (s *source) setBody(body []byte) {
	s.body, s.size, s.sum, s.made = body, int64(len(body)), sha256.Sum256(body), true
}

// open opens a source again and refuses it where it is no longer what was
// indexed.
func (s *source) open() (fs.File, error) {
	f, err := s.fsys.Open(s.name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (info.Size() != s.size || !info.ModTime().Equal(s.mod) || !info.Mode().IsRegular()) {
		err = errChanged
	}
	if err != nil {
		closeFile(f)
		return nil, err
	}
	return f, nil
}

// addAll puts every file of the current build into the index: the page first,
// then from small to large, so that MaxMemory holds as many as it can.
func (x *indexer) addAll(srcs map[string]*source, naming hashing) {
	files := map[string]*file{}
	for _, s := range x.bySize(srcs) {
		f := x.newFile(s, srcs)
		if s.name != x.Index && (naming.hashed(s.name) || x.immutable(s.name)) && !x.Dev {
			f.cache = cacheForever
		}
		x.register(s.name, f)
		files[s.name] = f
	}
	if x.flutter != nil && x.Versioned {
		x.addVersioned(x.flutter.dir, files)
	}
}

// bySize orders the sources that are files of their own, not siblings.
func (x *indexer) bySize(srcs map[string]*source) []*source {
	var list []*source
	for name, s := range srcs {
		if c, base := siblingOf(name); c == identity || srcs[base] == nil {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *source) int {
		if a.name == x.Index || b.name == x.Index {
			return cmp.Compare(boolInt(b.name == x.Index), boolInt(a.name == x.Index))
		}
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.name, b.name))
	})
	return list
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// siblingOf tells which file a precompressed file belongs to.
func siblingOf(name string) (coding, string) {
	for c, ext := range siblingExt {
		if base, ok := strings.CutSuffix(name, ext); ok && ext != "" {
			return coding(c), base
		}
	}
	return identity, name
}

var siblingExt = [numCodings]string{gzipped: ".gz", brotli: ".br", zstandard: ".zst"}

// register makes a file reachable: by its own path, a page as most hosts do also
// without its extension (about.html at /about), and a directory's page at the
// directory. Below Exclude only files' own paths are the app's.
func (x *indexer) register(name string, f *file) {
	x.out.files[x.Prefix+name] = f
	if name == x.Index {
		x.out.index = f
		x.out.files[x.Prefix] = f
		return
	}
	stem, isPage := strings.CutSuffix(name, ".html")
	dir, isIndex := strings.CutSuffix(name, "/index.html")
	switch {
	case !isPage || stem == "index":
	case isIndex:
		x.alias(x.Prefix+dir+"/", f)
		x.redirect(x.Prefix + dir)
	default:
		x.alias(x.Prefix+stem, f)
	}
}

// alias makes a file reachable at a path that is no other file's.
func (x *indexer) alias(p string, f *file) {
	if old := x.out.files[p]; (old == nil || old.redirect != "") && !x.excluded(p) {
		x.out.files[p] = f
	}
}

// redirect sends p to p with a slash. Location is made here of names of the
// index: nothing of a request but its query gets into it.
func (x *indexer) redirect(p string) {
	if x.out.files[p] == nil {
		x.alias(p, &file{redirect: (&url.URL{Path: p + "/"}).EscapedPath()})
	}
}

// newFile decides the type, the variants and Vary of a source.
func (x *indexer) newFile(s *source, srcs map[string]*source) *file {
	f := &file{ctype: x.typeOf(s.name), cache: cacheNever}
	for c := gzipped; c < numCodings; c++ {
		sib := srcs[s.name+siblingExt[c]]
		if sib == nil || s.made {
			continue
		}
		if c == gzipped && !x.sameContent(sib, s) {
			x.fail(s.name, sib.name, "does not hold what %s holds: it is left over from another build; compress again, or delete it", s.name)
			continue
		}
		if sib.size < s.size {
			f.variants = append(f.variants, x.variant(c, sib))
		}
	}
	hasGzip := slices.ContainsFunc(f.variants, func(v variant) bool { return v.coding == gzipped })
	id := x.variant(identity, s)
	if !hasGzip && s.size >= minGzip && compressible(f.ctype) && !x.Dev {
		if body := x.gzip(s); body != nil {
			made := &source{}
			made.setBody(body)
			f.variants = append(f.variants, x.variant(gzipped, made))
		}
	}
	slices.SortStableFunc(f.variants, func(a, b variant) int { return cmp.Compare(a.size, b.size) })
	f.variants = append(f.variants, id)
	if len(f.variants) > 1 {
		f.vary = varyOn("Accept-Encoding")
	}
	f.pageVary = varyOn(append(slices.Clip(navigationVary.names), f.vary.names...)...)
	return f
}

// variant holds a source's body while there is room.
func (x *indexer) variant(c coding, s *source) variant {
	v := variant{
		coding: c, size: s.size, length: strconv.FormatInt(s.size, 10),
		// 144 bits of the SHA-256 of the very bytes that are sent: strong, and
		// another one for each coding (RFC 9110, section 8.8.3.3).
		etag: `"` + base64.RawURLEncoding.EncodeToString(s.sum[:18]) + `"`,
	}
	if s.body != nil && (s.size <= x.budget || s.made || s.name == x.Index) {
		v.body = s.body
		x.budget -= s.size
		return v
	}
	v.source = &source{fsys: s.fsys, name: s.name, size: s.size, mod: s.mod}
	return v
}

// gzip compresses a source; nil where that is not worth it or has no room.
func (x *indexer) gzip(s *source) []byte {
	if s.size > maxGzip || x.budget <= 0 {
		return nil
	}
	r := io.Reader(bytes.NewReader(s.body))
	if s.body == nil {
		f, err := s.open()
		if err != nil {
			x.fail(s.name, "", "cannot be read: %v", err)
			return nil
		}
		defer closeFile(f)
		r = f
	}
	var buf bytes.Buffer
	if x.zip == nil {
		x.zip = gzip.NewWriter(&buf)
	}
	x.zip.Reset(&buf) // its tables are a megabyte: one for all files
	if n, err := io.Copy(x.zip, r); err != nil || n != s.size || x.zip.Close() != nil {
		x.fail(s.name, "", "changed while it was compressed, or cannot be read: %v", err)
		return nil
	}
	if size := int64(buf.Len()); size > x.budget || size > s.size/10*9 {
		return nil
	}
	return bytes.Clone(buf.Bytes())
}

// sameContent tells whether a .gz sibling holds what the file holds. It reads
// one byte more than the file has at most: a bomb is only another stale file.
func (x *indexer) sameContent(gz, s *source) bool {
	r := io.Reader(bytes.NewReader(gz.body))
	if gz.body == nil {
		f, err := gz.open()
		if err != nil {
			return false
		}
		defer closeFile(f)
		r = f
	}
	zr, err := gzip.NewReader(r)
	if err != nil {
		return false
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(zr, s.size+1))
	return err == nil && n == s.size && [sha256.Size]byte(h.Sum(nil)) == s.sum
}

// addPrevious adds the immutable files of an older build that no newer one has.
func (x *indexer) addPrevious(fsys fs.FS) {
	old := &indexer{options: x.options, out: &build{}}
	srcs := old.walk(fsys)
	x.errs = append(x.errs, old.errs...)
	if len(srcs) == 0 {
		return // the first deploy has none before it
	}
	var p page
	if s := srcs[x.Index]; s != nil {
		p = scanHTML(string(s.body))
	} else {
		x.fail("", "", "a build in Previous has no %s: is it the root of a build?", x.Index)
	}
	flutter := isFlutter(srcs)
	naming, files := detectHashing(flutter, maps.Keys(srcs), x.localRefs(p, srcs)), map[string]*file{}
	for _, s := range x.bySize(srcs) {
		keep := naming.hashed(s.name) || x.immutable(s.name)
		if s.name == x.Index || !keep && (!flutter || !x.Versioned) {
			continue
		}
		f := x.newFile(s, srcs)
		files[s.name] = f
		if at := x.Prefix + s.name; keep && x.out.files[at] == nil && !x.Dev {
			f.cache = cacheForever
			x.out.files[at] = f
		}
	}
	if flutter && x.Versioned {
		x.addVersioned(buildDir(srcs), files)
	}
}

// closeFile closes a file that was only read: there is nothing to lose.
func closeFile(f fs.File) { _ = f.Close() }
