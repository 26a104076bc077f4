package correlation_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// FuzzID: an ID is taken exactly where a regular expression written from the
// documentation matches it, and otherwise no part of it shows anywhere.
func FuzzID(f *testing.F) {
	for _, seed := range []string{
		"", "a", "abc-123", "a b", "a\r\nb", "01ARZ3NDEKTSV4RRFFQ69G5FAV", strings.Repeat("a", 128), strings.Repeat("a", 129),
		"0b9d0d3c-6d0a-4b0e-8f3c-2f8d7a3b1c55", "4bf92f3577b34da6a3ce929d0e0e4736", "\xff", "é", "<script>", "a,b", "\x1b[0m",
	} {
		f.Add(seed)
	}
	type oracle struct {
		h    http.Handler
		want *regexp.Regexp
	}
	var l *logs
	oracles := map[correlation.Format]oracle{}
	for format, pattern := range map[correlation.Format]string{
		correlation.FormatToken: `\A[A-Za-z0-9._:-]{1,128}\z`,
		correlation.FormatUUID:  `\A[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\z`,
		correlation.FormatHex32: `\A[0-9A-Fa-f]{32}\z`,
	} {
		var logger *slog.Logger
		if l == nil {
			l, logger = newLogs()
		} else {
			logger = slog.New(slog.NewJSONHandler(l, nil))
		}
		oracles[format] = oracle{build(f, correlation.Config{Format: format, Logger: logger}).Handler(http.HandlerFunc(nothing)), regexp.MustCompile(pattern)}
	}
	f.Fuzz(func(t *testing.T, sent string) {
		for format, o := range oracles {
			l.b.Reset()
			r := get("/")
			r.Header["X-Correlation-Id"] = []string{sent}
			rec := httptest.NewRecorder()
			o.h.ServeHTTP(rec, r)
			id, taken := rec.Header().Get("X-Correlation-Id"), false
			if o.want.MatchString(sent) {
				taken = true
				if id != sent {
					t.Errorf("format %d: %q was not taken", format, sent)
				}
			} else if id == sent || !uuidV4.MatchString(id) && !hex32.MatchString(id) {
				t.Errorf("format %d: %q gave %q", format, sent, id)
			}
			if line := l.one(t); line["correlation_id"] != id {
				t.Errorf("logged %q, answered %q", line["correlation_id"], id)
			}
			if _, err := correlation.NewContext(t.Context(), sent); format == correlation.FormatToken && (err == nil) != taken {
				t.Errorf("NewContext and the header disagree about %q", sent)
			}
		}
	})
}

// FuzzTraceparent: what is taken is what a regular expression written from the
// ABNF takes.
func FuzzTraceparent(f *testing.F) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, seed := range []string{
		"", good, "cc" + good[2:], "ff" + good[2:], good + "-x", "cc" + good[2:] + "-x", "cc" + good[2:] + "x", strings.ToUpper(good),
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
	} {
		f.Add(seed)
	}
	want := regexp.MustCompile(`\A(?:00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}|[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?s:-.*)?)\z`)
	l, logger := newLogs()
	h := build(f, correlation.Config{Logger: logger}).Handler(http.HandlerFunc(nothing))
	f.Fuzz(func(t *testing.T, sent string) {
		l.b.Reset()
		r := get("/")
		r.Header["Traceparent"] = []string{sent}
		h.ServeHTTP(httptest.NewRecorder(), r)
		trace, span := "", ""
		if m := want.FindStringSubmatch(sent); m != nil && sent[:2] != "ff" && (m[1] != "" || sent[:2] != "00") {
			trace, span = m[1]+m[3], m[2]+m[4]
			if strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" {
				trace, span = "", ""
			}
		}
		line := l.one(t)
		gotTrace, _ := line["trace_id"].(string)
		gotSpan, _ := line["span_id"].(string)
		if gotTrace != trace || gotSpan != span {
			t.Errorf("%q: got %q %q, want %q %q", sent, gotTrace, gotSpan, trace, span)
		}
	})
}

// FuzzLine: whatever the client sends, the line is one line, bounded, and holds
// no byte that a terminal would obey, even with a handler that escapes nothing.
func FuzzLine(f *testing.F) {
	f.Add("GET", "/", "", "", "curl/8")
	f.Add("G\x00T", "/\x1b[0m\n", "/%1b", "a=b&c\n", "\xff\u202e")
	f.Add("", strings.Repeat("/\"", 3000), "", strings.Repeat("&", 3000), strings.Repeat("é", 300))
	l := &logs{}
	h := build(f, correlation.Config{Logger: slog.New(rawHandler{l}), Query: correlation.QueryKeys, LogHeaders: []string{"User-Agent"}}).
		Handler(http.HandlerFunc(nothing))
	f.Fuzz(func(t *testing.T, method, path, rawPath, query, agent string) {
		l.b.Reset()
		r := get("/")
		r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery = method, path, rawPath, query
		r.Header["User-Agent"] = []string{agent}
		h.ServeHTTP(httptest.NewRecorder(), r)
		line, ended := strings.CutSuffix(l.String(), "\n")
		if !ended || !utf8.ValidString(line) || len(line) > 16<<10 {
			t.Fatalf("%d bytes: %q", len(line), line)
		}
		for _, c := range line {
			if c < ' ' || 0x7f <= c && c < 0xa0 || c == '\u202e' || c == '\u2028' || c == '\u2029' {
				t.Fatalf("%q in %q", c, line)
			}
		}
	})
}
