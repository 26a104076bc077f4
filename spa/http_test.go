package spa_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
	"github.com/gatehouse-go/gatehouse/spa"
)

// digits is a body in which every range shows where it is from.
const digits = "0123456789abcdefghijklmnopqrstuvwxyz"

func digitsApp(t testing.TB) (*spa.Middleware, string) {
	fsys := viteFS()
	fsys["digits.bin"] = &fstest.MapFile{Data: []byte(digits)}
	app := newApp(t, spa.Config{FS: fsys})
	return app, ask(app, "GET", "/digits.bin").Header().Get("ETag")
}

func TestIfNoneMatchIsAListOfTagsComparedWeakly(t *testing.T) {
	app, etag := digitsApp(t)
	for value, want := range map[string]int{
		etag:                       304,
		"W/" + etag:                304,
		"*":                        304,
		` * `:                      304,
		`"a", ` + etag:             304,
		`"a",W/"b" , W/` + etag:    304,
		`"a,b", ` + etag:           304,
		`,, ` + etag + `,`:         304,
		`"a"`:                      200,
		strings.Trim(etag, `"`):    200,
		etag[:len(etag)-1]:         200,
		`"a` + etag:                200, // no list: the quote is never closed where it should be
		`w/` + etag:                200,
		``:                         200,
		strings.ToUpper(etag):      200,
		`"a" ` + etag:              304, // a missing comma is forgiven
		`*, "a"`:                   200,
		strings.Repeat(`"x",`, 99): 200,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			rec := ask(app, method, "/digits.bin", "If-None-Match", value)
			assert.Equal(t, want, rec.Code, "%s %q", method, value)
			if want == 304 {
				assert.Empty(t, rec.Body.String())
				assert.Equal(t, http.Header{"Etag": {etag}, "Cache-Control": {noCache}}, rec.Header())
			}
		}
	}
	r := httptest.NewRequest("GET", "/digits.bin", nil)
	r.Header["If-None-Match"] = []string{`"a"`, etag}
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, r)
	assert.Equal(t, 304, rec.Code, "the second line counts too")
}

func TestIfMatchIsComparedStrongly(t *testing.T) {
	app, etag := digitsApp(t)
	for value, want := range map[string]int{
		etag: 200, "*": 200, `"a", ` + etag: 200, "W/" + etag: 412, `"a"`: 412, "x": 412,
	} {
		rec := ask(app, "GET", "/digits.bin", "If-Match", value)
		assert.Equal(t, want, rec.Code, value)
		if want == 412 {
			assert.Empty(t, rec.Header().Get("ETag"))
		}
	}
}

func TestEachCodingHasAnETagOfItsOwn(t *testing.T) {
	app := newApp(t, spa.Config{})
	const js = "/assets/index-BxYz12_-.js"
	seen := map[string]string{}
	for _, enc := range []string{"identity", "gzip", "br"} {
		tag := ask(app, "GET", js, "Accept-Encoding", enc).Header().Get("ETag")
		assert.NotContains(t, seen, tag)
		seen[tag] = enc
		assert.Equal(t, 304, ask(app, "GET", js, "Accept-Encoding", enc, "If-None-Match", tag).Code)
	}
	for tag, enc := range seen {
		if enc != "br" {
			assert.Equal(t, 200, ask(app, "GET", js, "Accept-Encoding", "br", "If-None-Match", tag).Code, "a tag of %s", enc)
		}
	}
}

// The rows of RFC 9110, section 12.5.3, and what browsers and tools send.
func TestAcceptEncoding(t *testing.T) {
	js := []byte(viteFiles()["assets/index-BxYz12_-.js"])
	zst := "zstd"
	fsys := viteFS()
	fsys["assets/index-BxYz12_-.js.gz"] = &fstest.MapFile{Data: gz(js)}
	fsys["assets/index-BxYz12_-.js.zst"] = &fstest.MapFile{Data: []byte(zst)} // the smallest
	app := newApp(t, spa.Config{FS: fsys})
	for accept, want := range map[string]string{
		"gzip, deflate, br, zstd":         "zstd",
		"gzip, deflate, br":               "br",
		"gzip, deflate":                   "gzip",
		"gzip":                            "gzip",
		"x-gzip":                          "gzip",
		"GZIP":                            "gzip",
		"gzip;q=1.0":                      "gzip",
		"gzip;q=0.5, br;q=0.4":            "gzip",
		"gzip ; q=0.5 , br ; q=0.4":       "gzip",
		"gzip;q=0.123, br;q=0.124":        "br",
		"gzip;q=0":                        "",
		"br;q=0, gzip":                    "gzip",
		"identity":                        "",
		"identity;q=0.5, gzip;q=0.4":      "",
		"identity;q=0.4, gzip;q=0.5":      "gzip",
		"gzip;q=0.001":                    "gzip",
		"*":                               "zstd",
		"*;q=0.1, zstd;q=0, br;q=0":       "gzip",
		"gzip, *;q=0":                     "gzip",
		"identity;q=0, *":                 "zstd",
		"identity;q=0, gzip":              "gzip",
		"identity;q=0":                    "406",
		"*;q=0":                           "406",
		"deflate, identity;q=0":           "406",
		"deflate":                         "",
		"":                                "",
		" , ,":                            "",
		"gzip;q=2":                        "",
		"gzip;q=1.5":                      "",
		"gzip;q=0.1234":                   "",
		"gzip;q=-1":                       "",
		"gzip;level=9":                    "",
		"gzip;":                           "gzip",
		strings.Repeat("a,", 5000) + "br": "br",
	} {
		rec := ask(app, "GET", "/assets/index-BxYz12_-.js", "Accept-Encoding", accept)
		assert.Contains(t, rec.Header().Get("Vary"), "Accept-Encoding", accept)
		if want == "406" {
			assert.Equal(t, 406, rec.Code, accept)
			continue
		}
		require.Equal(t, 200, rec.Code, accept)
		assert.Equal(t, want, rec.Header().Get("Content-Encoding"), "%.80q", accept)
		assert.Equal(t, fmt.Sprint(rec.Body.Len()), rec.Header().Get("Content-Length"), accept)
		switch want {
		case "gzip":
			assert.Equal(t, js, gunzip(t, rec.Body.Bytes()))
		case "zstd":
			assert.Equal(t, zst, rec.Body.String())
		case "br":
			assert.Equal(t, "pretended brotli", rec.Body.String())
		default:
			assert.Equal(t, js, rec.Body.Bytes())
		}
	}
	r := httptest.NewRequest("GET", "/assets/index-BxYz12_-.js", nil)
	r.Header["Accept-Encoding"] = []string{"deflate", "gzip"}
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, r)
	assert.Equal(t, "gzip", rec.Header().Get("Content-Encoding"), "two lines are one list")
	assert.Equal(t, 406, ask(app, "GET", "/assets/portrait.png", "Accept-Encoding", "identity;q=0, *").Code, "no other variant")
}

func TestGzipIsMadeOnlyWhereItHelps(t *testing.T) {
	fsys := mapFS(map[string]string{
		"index.html": indexlike, "big.js": strings.Repeat("let a = 1;\n", 500), "tiny.js": "let a",
		"photo.png": strings.Repeat("png", 1000), "random.wasm": string(randomBytes(4000)),
	})
	app := newApp(t, spa.Config{FS: fsys})
	for target, want := range map[string]string{"/big.js": "gzip", "/tiny.js": "", "/photo.png": "", "/random.wasm": ""} {
		rec := ask(app, "GET", target, "Accept-Encoding", "gzip")
		assert.Equal(t, want, rec.Header().Get("Content-Encoding"), target)
		assert.Equal(t, want != "", rec.Header().Get("Vary") != "", target)
	}
}

// indexlike is an index page without references.
const indexlike = "<!doctype html><html><head><title>App</title></head><body></body></html>"

func randomBytes(n int) []byte {
	r, b := rand.New(rand.NewPCG(1, 2)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestSingleRanges(t *testing.T) {
	app, etag := digitsApp(t)
	const n = len(digits)
	for value, want := range map[string]string{ // the part, "" for the whole file, "416"
		"bytes=0-4":                        "01234",
		"bytes=0-0":                        "0",
		"bytes=5-":                         digits[5:],
		"bytes=-5":                         digits[n-5:],
		"bytes=-99":                        digits,
		"bytes=0-99999999999999999999":     digits,
		"bytes=10-11":                      "ab",
		"Bytes=10-11":                      "ab",
		"bytes= 10-11 ":                    "ab",
		"bytes=,10-11,":                    "ab",
		"bytes=35-35":                      "z",
		"bytes=36-":                        "416",
		"bytes=36-40":                      "416",
		"bytes=-0":                         "416",
		"bytes=99999999999999999999-":      "416",
		"bytes=99-100,200-":                "416",
		"bytes=4-2":                        "",
		"bytes=a-b":                        "",
		"bytes=1":                          "",
		"bytes=":                           "",
		"bytes=,":                          "",
		"bytes=-":                          "",
		"bytes=--5":                        "",
		"bytes=+1-2":                       "",
		"bytes=1-2-3":                      "",
		"bytes=1 -2":                       "",
		"bytes=0x1-2":                      "",
		"bytes":                            "",
		"items=0-5":                        "",
		"bytes=0-5,x":                      "",
		"bytes=0-1,36-":                    "01", // one of two is inside
		"bytes=0-,0-":                      "",   // more bytes than there are
		"bytes=" + strings.Repeat(",", 99): "",
		"bytes=" + strings.TrimSuffix(strings.Repeat("0-0,", 17), ","): "",
	} {
		rec := ask(app, "GET", "/digits.bin", "Range", value)
		h := rec.Header()
		switch want {
		case "":
			assert.Equal(t, 200, rec.Code, value)
			assert.Equal(t, digits, rec.Body.String(), value)
			assert.Empty(t, h.Get("Content-Range"))
		case "416":
			assert.Equal(t, http.Header{
				"Content-Range": {fmt.Sprintf("bytes */%d", n)}, "Content-Length": {"0"}, "Accept-Ranges": {"bytes"},
				"Content-Type": {"text/plain; charset=utf-8"},
			}, h, value)
			assert.Equal(t, 416, rec.Code, value)
			assert.Empty(t, rec.Body.String())
		default:
			at := strings.Index(digits, want)
			assert.Equal(t, 206, rec.Code, value)
			assert.Equal(t, want, rec.Body.String(), value)
			assert.Equal(t, http.Header{
				"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", at, at+len(want)-1, n)}, "Content-Length": {fmt.Sprint(len(want))},
				"Accept-Ranges": {"bytes"}, "Etag": {etag}, "Cache-Control": {noCache}, "Content-Type": {"application/octet-stream"},
			}, h, value)
		}
		head := ask(app, "HEAD", "/digits.bin", "Range", value)
		assert.Equal(t, 200, head.Code, "a Range of HEAD is ignored (RFC 9110, section 14.2)")
	}
	assert.Equal(t, 200, ask(app, "GET", "/empty.txt", "Range", "bytes=0-").Code)
	two := httptest.NewRequest("GET", "/digits.bin", nil)
	two.Header["Range"] = []string{"bytes=0-1", "bytes=2-3"}
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, two)
	assert.Equal(t, 200, rec.Code, "two Range lines are malformed")
}

func TestIfRangeWantsTheStrongETag(t *testing.T) {
	app, etag := digitsApp(t)
	for value, want := range map[string]int{
		etag: 206, " " + etag: 206, "W/" + etag: 200, `"a"`: 200, "*": 200, etag + "," + etag: 200,
		time.Now().UTC().Format(http.TimeFormat): 200, "": 200,
	} {
		assert.Equal(t, want, ask(app, "GET", "/digits.bin", "Range", "bytes=0-1", "If-Range", value).Code, value)
	}
	assert.Equal(t, 304, ask(app, "GET", "/digits.bin", "Range", "bytes=0-1", "If-None-Match", etag).Code)
}

func TestMultipleRangesAreAMultipartBody(t *testing.T) {
	app, _ := digitsApp(t)
	rec := ask(app, "GET", "/digits.bin", "Range", "bytes=0-2, 10-12,-2, 99-")
	require.Equal(t, 206, rec.Code)
	assert.Equal(t, fmt.Sprint(rec.Body.Len()), rec.Header().Get("Content-Length"))
	typ, params, err := mime.ParseMediaType(rec.Header().Get("Content-Type"))
	require.NoError(t, err)
	assert.Equal(t, "multipart/byteranges", typ)
	mr := multipart.NewReader(rec.Body, params["boundary"])
	for _, want := range [][2]string{{"bytes 0-2/36", "012"}, {"bytes 10-12/36", "abc"}, {"bytes 34-35/36", "yz"}} {
		part, err := mr.NextRawPart()
		require.NoError(t, err)
		body, err := io.ReadAll(part)
		require.NoError(t, err)
		assert.Equal(t, want[1], string(body))
		assert.Equal(t, want[0], part.Header.Get("Content-Range"))
		assert.Equal(t, "application/octet-stream", part.Header.Get("Content-Type"))
	}
	_, err = mr.NextRawPart()
	assert.ErrorIs(t, err, io.EOF)
}

func TestARangeIsOfTheCodedBytes(t *testing.T) {
	app := newApp(t, spa.Config{})
	const js = "/assets/index-BxYz12_-.js"
	whole := ask(app, "GET", js, "Accept-Encoding", "gzip").Body.Bytes()
	rec := ask(app, "GET", js, "Accept-Encoding", "gzip", "Range", "bytes=5-9")
	assert.Equal(t, 206, rec.Code)
	assert.Equal(t, whole[5:10], rec.Body.Bytes())
	assert.Equal(t, "gzip", rec.Header().Get("Content-Encoding"))
}

// bigDir is a build on disk with a file too large to be held, and its gzip.
func bigDir(t testing.TB) (dir string, big []byte) {
	t.Helper()
	dir, big = t.TempDir(), repeated("0123456789abcdef", 1<<17) // 2 MiB
	write := func(name string, body []byte) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), body, 0o644))
	}
	write("index.html", []byte(indexlike))
	write("video.webm", big)
	write("engine.wasm", big)
	write("data.json", big)
	write("data.json.gz", gz(big))
	return dir, big
}

func openDir(t testing.TB, dir string) fs.FS {
	t.Helper()
	fsys, err := spa.OpenDir(dir)
	require.NoError(t, err)
	return fsys
}

func TestLargeFilesAreReadFromTheDiskAndRefusedWhereTheyChanged(t *testing.T) {
	dir, big := bigDir(t)
	var log bytes.Buffer
	app := newApp(t, spa.Config{FS: openDir(t, dir), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	srv := httptest.NewServer(app)
	defer srv.Close()

	fetch := func(header ...string) (*http.Response, []byte) {
		req, err := http.NewRequest("GET", srv.URL+"/video.webm", nil)
		require.NoError(t, err)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := srv.Client().Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, body
	}
	resp, body := fetch()
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, int64(len(big)), resp.ContentLength)
	assert.True(t, bytes.Equal(big, body))
	resp, body = fetch("Range", "bytes=1048577-1048580")
	assert.Equal(t, 206, resp.StatusCode)
	assert.Equal(t, "1234", string(body))
	resp, body = fetch("Range", "bytes=-3,0-1")
	assert.Equal(t, 206, resp.StatusCode)
	assert.Contains(t, string(body), "\r\n\r\ndef\r\n")
	assert.Contains(t, string(body), "\r\n\r\n01\r\n")
	resp, _ = fetch("If-None-Match", resp.Header.Get("ETag"))
	assert.Equal(t, 304, resp.StatusCode)
	etag := resp.Header.Get("ETag")

	wasm := ask(app, "GET", "/engine.wasm", "Accept-Encoding", "gzip")
	assert.Equal(t, "gzip", wasm.Header().Get("Content-Encoding"), "gzip was made of a file that is not held")
	assert.True(t, bytes.Equal(big, gunzip(t, wasm.Body.Bytes())))
	head := ask(app, "HEAD", "/video.webm")
	assert.Equal(t, fmt.Sprint(len(big)), head.Header().Get("Content-Length"))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "video.webm"), []byte("changed"), 0o644))
	for _, header := range [][]string{nil, {"If-None-Match", etag}, {"Range", "bytes=0-1"}} {
		resp, body = fetch(header...)
		assert.Equal(t, 503, resp.StatusCode)
		assert.Equal(t, "Service Unavailable\n", string(body))
		assert.Empty(t, resp.Header.Get("ETag")+resp.Header.Get("Cache-Control"))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "video.webm")))
	resp, _ = fetch()
	assert.Equal(t, 503, resp.StatusCode)
	assert.Contains(t, log.String(), "no longer what it was at start")
	assert.Equal(t, 200, ask(app, "GET", "/").Code, "what is held does not depend on the disk")
}

func TestMaxMemoryHoldsTheSmallestFilesFirst(t *testing.T) {
	fsys := &counting{FS: mapFS(map[string]string{
		"index.html": indexlike, "a.png": strings.Repeat("a", 100), "b.png": strings.Repeat("b", 200), "c.png": strings.Repeat("c", 5000),
	}), opens: map[string]int{}}
	app := newApp(t, spa.Config{FS: fsys, MaxMemory: 400})
	clear(fsys.opens)
	for _, target := range []string{"/", "/a.png", "/b.png", "/c.png", "/deep/link", "/gone.png", "/../a.png"} {
		ask(app, "GET", target)
	}
	assert.Equal(t, map[string]int{"c.png": 1}, fsys.opens, "only files that are not held are opened, by their indexed name")
}

// counting counts what is opened.
type counting struct {
	fs.FS
	opens map[string]int
}

func (c *counting) Open(name string) (fs.File, error) {
	c.opens[name]++
	return c.FS.Open(name)
}

func TestAFileSystemThatCannotSeekStillServesWholeFiles(t *testing.T) {
	dir, big := bigDir(t)
	app := newApp(t, spa.Config{FS: streamFS{os.DirFS(dir)}})
	rec := ask(app, "GET", "/video.webm", "Range", "bytes=0-1")
	assert.Equal(t, 200, rec.Code)
	assert.True(t, bytes.Equal(big, rec.Body.Bytes()))
}

type streamFS struct{ fs.FS }

func (s streamFS) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	if d, ok := f.(fs.ReadDirFile); ok {
		if info, statErr := f.Stat(); statErr == nil && info.IsDir() {
			return d, err
		}
	}
	return struct{ fs.File }{f}, err
}

func TestAKilledWorkerIsAnsweredWithOneThatRemovesItself(t *testing.T) {
	fsys := viteFS()
	fsys["sw.js"] = &fstest.MapFile{Data: []byte("old worker")}
	app := newApp(t, spa.Config{FS: fsys, KillWorkers: []string{"/sw.js", "/flutter_service_worker.js"}})
	for _, target := range []string{"/sw.js", "/flutter_service_worker.js?v=3"} {
		rec := ask(app, "GET", target, "Sec-Fetch-Dest", "serviceworker", "Service-Worker", "script")
		assert.Equal(t, 200, rec.Code)
		assert.Equal(t, "text/javascript; charset=utf-8", rec.Header().Get("Content-Type"))
		assert.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
		assert.Contains(t, rec.Body.String(), "unregister()")
	}
}

func TestOnlyImmutableFilesOfPreviousBuildsStay(t *testing.T) {
	old := mapFS(map[string]string{
		"index.html":               `<head><script type="module" src="/assets/index-OldB_123.js"></script></head>`,
		"assets/index-OldB_123.js": "old", "assets/chunk-Q2Fz8_aB.js": "old chunk", "assets/index-BxYz12_-.js": "old, same name",
		"old.txt": "old", "robots.txt": "old",
	})
	older := mapFS(map[string]string{"index.html": indexlike, "assets/chunk-Q2Fz8_aB.js": "older chunk", "main.8d3a0e2f.js": "older"})
	app := newApp(t, spa.Config{Previous: []fs.FS{old, older}})
	for target, want := range map[string]string{
		"/assets/index-OldB_123.js": "old", "/assets/chunk-Q2Fz8_aB.js": "old chunk", "/main.8d3a0e2f.js": "older",
		"/assets/index-BxYz12_-.js": viteFiles()["assets/index-BxYz12_-.js"], "/robots.txt": "User-agent: *\n", "/": indexHTML,
	} {
		rec := ask(app, "GET", target)
		assert.Equal(t, want, rec.Body.String(), target)
		if strings.Contains(want, "old") {
			assert.Equal(t, forever, rec.Header().Get("Cache-Control"))
		}
	}
	assert.Equal(t, 404, ask(app, "GET", "/old.txt").Code)
	newApp(t, spa.Config{Previous: []fs.FS{mapFS(nil)}}) // the first deploy
	got := mistakesOf(t, spa.Config{FS: viteFS(), Previous: []fs.FS{nil, mapFS(map[string]string{"a": ""})}})
	assert.True(t, containsPrefix(got, "spa: Previous[0]: is nil"), got)
	assert.True(t, containsPrefix(got, "spa: a build in Previous has no index.html"), got)
}

func TestDevReadsEveryRequestFromTheDiskAndSaysSo(t *testing.T) {
	var log bytes.Buffer
	fsys := viteFS()
	app := newApp(t, spa.Config{FS: fsys, Dev: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	assert.Contains(t, log.String(), "Dev is on")
	assert.Equal(t, noCache, ask(app, "GET", "/assets/index-BxYz12_-.js").Header().Get("Cache-Control"))
	fsys["robots.txt"].Data = []byte("new")
	fsys["added.txt"] = fsys["robots.txt"]
	assert.Equal(t, "new", ask(app, "GET", "/robots.txt").Body.String())
	assert.Equal(t, "new", ask(app, "GET", "/added.txt").Body.String())
	delete(fsys, "index.html")
	assert.Equal(t, indexHTML, ask(app, "GET", "/").Body.String(), "the last good build stays")
	assert.Contains(t, log.String(), "level=ERROR")
}

// raw sends the bytes of a request to a real server and returns the status line.
func raw(t testing.TB, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.WriteString(conn, request+"Connection: close\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	line, _, _ := strings.Cut(string(answer), "\r\n")
	assert.NotContains(t, string(answer), "\r\nLocation:")
	return line
}

func TestRequestTargetsAsTheyComeOverAWire(t *testing.T) {
	srv := httptest.NewServer(newApp(t, spa.Config{}))
	defer srv.Close()
	for target, want := range map[string]string{
		"http://app.example":                 "HTTP/1.1 200 OK",
		"http://app.example/deep":            "HTTP/1.1 200 OK",
		"http://attacker.example/../x":       "HTTP/1.1 404 Not Found",
		"//attacker.example/..":              "HTTP/1.1 404 Not Found",
		"/..\\..\\windows":                   "HTTP/1.1 404 Not Found",
		"/a%zz":                              "HTTP/1.1 400 Bad Request",
		"*":                                  "HTTP/1.1 404 Not Found",
		"/assets/..;/index.html":             "HTTP/1.1 404 Not Found",
		"/%2e%2e%2f%2e%2e%2fetc%2fpasswd":    "HTTP/1.1 404 Not Found",
		"/assets/%2e%2e%5cindex.html":        "HTTP/1.1 404 Not Found",
		"/\xc0\xae\xc0\xae/\xc0\xae\xc0\xae": "HTTP/1.1 404 Not Found",
	} {
		assert.Equal(t, want, raw(t, srv.Listener.Addr().String(), "GET "+target+" HTTP/1.1\r\nHost: app.example\r\n"), target)
	}
}

// readerFrom notes whether a body came in a way that net/http hands to sendfile.
type readerFrom struct {
	*httptest.ResponseRecorder
	file bool
}

func (w *readerFrom) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		_, w.file = limited.R.(*os.File)
	}
	return io.Copy(w.ResponseRecorder, r)
}

func TestLargeFilesOfADirectoryAreSentByTheKernel(t *testing.T) {
	dir, big := bigDir(t)
	w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
	newApp(t, spa.Config{FS: openDir(t, dir)}).ServeHTTP(w, httptest.NewRequest("GET", "/video.webm", nil))
	assert.True(t, w.file)
	assert.True(t, bytes.Equal(big, w.Body.Bytes()))
}

// The standard library reads neither coding, so New cannot compare them; the
// tools that make them do it here.
func TestSiblingsOfTheRealToolsAreWhatTheySay(t *testing.T) {
	body := repeated("export const a = 1;\n", 2000)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte(indexlike), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app.js"), body, 0o600))
	run := func(stdin []byte, name string, args ...string) []byte {
		cmd := exec.Command(testenv.Command(t, name, name), args...)
		cmd.Stdin = bytes.NewReader(stdin)
		out, err := cmd.Output()
		require.NoError(t, err)
		return out
	}
	run(nil, "brotli", "--keep", filepath.Join(dir, "app.js"))
	run(nil, "zstd", "--quiet", "-k", filepath.Join(dir, "app.js"))
	app := newApp(t, spa.Config{FS: openDir(t, dir)})
	for encoding, tool := range map[string]string{"br": "brotli", "zstd": "zstd"} {
		rec := ask(app, "GET", "/app.js", "Accept-Encoding", encoding)
		require.Equal(t, encoding, rec.Header().Get("Content-Encoding"))
		assert.True(t, bytes.Equal(body, run(rec.Body.Bytes(), tool, "-d", "-c")))
	}
}
