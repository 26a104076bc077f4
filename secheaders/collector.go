package secheaders

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// CollectorConfig says what a collector of browsers' reports takes.
type CollectorConfig struct {
	// OnReport is called for each report that passes, one after the other, in the
	// goroutine of the request. Required. It must be safe for concurrent use and
	// quick: hand slow work to a queue of your own. A Report holds what anybody on
	// the Internet wished to send: log it with slog's quoting, count it, alert on
	// trends; never act on one. The request is there for its address and headers;
	// its body is spent.
	OnReport func(*http.Request, Report)
	// MaxBody is the size of a body in bytes; larger ones are answered with 413.
	// Default 65536 (64 KiB). Browsers send batches of some kilobytes; what is
	// allocated for a body is a small multiple of this.
	MaxBody int64
	// MaxReports is how many reports of one body are passed on; the rest of the
	// batch is dropped. Default 50.
	MaxReports int
	// Origins are the serialised origins, "https://app.example.com", whose pages
	// may report to this host: browsers ask by a CORS preflight. Pages of this
	// host itself need none. Default none.
	Origins []string
	// Sample is the share of bodies that is looked at, in (0, 1]; 0 is all. A page
	// with a broken policy on a busy site reports from every visitor.
	Sample float64
}

const (
	defaultMaxBody    = 64 << 10
	defaultMaxReports = 50
)

// collector is immutable and safe for concurrent use.
type collector struct {
	cfg CollectorConfig
}

// NewCollector is a handler for the path that Config.Reporting or
// Policy.ReportURI name: it takes bodies of the Reporting API
// (application/reports+json) and of report-uri (application/csp-report).
//
//	reports, err := secheaders.NewCollector(secheaders.CollectorConfig{OnReport: log})
//	mux.Handle("/reports", reports)
//
// It answers 204; 405, 413, 415 for another method, size or content type; 400
// for what is no report, with nothing of the body passed on; 403 for a preflight
// of an origin that is not listed. An answer never echoes anything. Reports that
// browser extensions cause are dropped, and URLs lose their user, query and
// fragment, where tokens are. Anybody can send reports: put a rate limit in front.
//
// NewCollector returns every mistake in its Config at once.
func NewCollector(c CollectorConfig) (http.Handler, error) {
	l := mistakes.In(pkg)
	if c.OnReport == nil {
		l.Add("OnReport", "", "is nil; pass a function that takes the reports")
	}
	if c.MaxBody < 0 {
		l.Add("MaxBody", strconv.FormatInt(c.MaxBody, 10), "is negative; leave it 0 for 64 KiB")
	}
	if c.MaxReports < 0 {
		l.Add("MaxReports", strconv.Itoa(c.MaxReports), "is negative; leave it 0 for %d", defaultMaxReports)
	}
	if !(c.Sample >= 0 && c.Sample <= 1) { // NaN, too
		l.Add("Sample", strconv.FormatFloat(c.Sample, 'g', -1, 64), "is no share between 0 and 1; leave it 0 for all")
	}
	for i, o := range c.Origins {
		if why := originProblem(o); why != "" {
			l.Add(indexed("Origins", i), o, "%s", why)
		}
	}
	if err := l.Err(); err != nil {
		return nil, err
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.MaxReports == 0 {
		c.MaxReports = defaultMaxReports
	}
	c.Origins = slices.Clone(c.Origins)
	return &collector{c}, nil
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	allowed := c.cors(w.Header(), r)
	w.Header()["Cache-Control"] = []string{"no-store"}
	switch r.Method {
	case http.MethodPost:
		w.WriteHeader(c.collect(w, r))
	case http.MethodOptions:
		w.WriteHeader(c.preflight(w.Header(), r, allowed))
	default:
		w.Header()["Allow"] = []string{"OPTIONS, POST"}
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// cors lets a listed origin read the answer, without which browsers take the
// report for undelivered. The header is our own string, not the client's.
func (c *collector) cors(h http.Header, r *http.Request) bool {
	headervalue.AddVary(h, "Origin")
	origins := r.Header["Origin"]
	if len(origins) != 1 {
		return false
	}
	i := slices.Index(c.cfg.Origins, origins[0])
	if i < 0 {
		return false
	}
	h["Access-Control-Allow-Origin"] = []string{c.cfg.Origins[i]}
	return true
}

// preflight answers browsers' question before application/reports+json from
// another origin: Fetch, section 4.8.
func (c *collector) preflight(h http.Header, r *http.Request, allowed bool) int {
	if r.Header.Get("Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		h["Allow"] = []string{"OPTIONS, POST"}
		return http.StatusNoContent
	}
	if !allowed {
		return http.StatusForbidden
	}
	h["Access-Control-Allow-Methods"] = []string{http.MethodPost}
	h["Access-Control-Allow-Headers"] = []string{"Content-Type"}
	h["Access-Control-Max-Age"] = []string{"7200"} // the most that Chromium keeps
	return http.StatusNoContent
}

// collect reads the body whole before it passes anything on: what is not a report
// in any part is none at all.
func (c *collector) collect(w http.ResponseWriter, r *http.Request) int {
	kind := mediaType(r.Header.Get("Content-Type"))
	if kind != typeReports && kind != typeLegacy || r.Header.Get("Content-Encoding") != "" {
		return http.StatusUnsupportedMediaType
	}
	if r.ContentLength > c.cfg.MaxBody {
		return http.StatusRequestEntityTooLarge
	}
	if r.Body == nil {
		return http.StatusBadRequest
	}
	if c.cfg.Sample > 0 && rand.Float64() >= c.cfg.Sample { //nolint:gosec // a sample, no secret
		return http.StatusNoContent
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, c.cfg.MaxBody))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return http.StatusRequestEntityTooLarge
		}
		return http.StatusBadRequest // cut short
	}
	reports, ok := parseReports(kind, body, c.cfg.MaxReports)
	if !ok {
		return http.StatusBadRequest
	}
	for _, report := range reports {
		if report.UserAgent == "" {
			report.UserAgent = clean(r.UserAgent())
		}
		if !report.noise() {
			c.cfg.OnReport(r, report)
		}
	}
	return http.StatusNoContent
}

// mediaType is the type without its parameters.
func mediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(s))
}
