package secheaders_test

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/secheaders"
)

const (
	reportsJSON = "application/reports+json"
	legacyJSON  = "application/csp-report"
)

// collect sends one body and returns the status and what was passed on.
func collect(t testing.TB, c secheaders.CollectorConfig, contentType, body string) (int, []secheaders.Report) {
	t.Helper()
	var got []secheaders.Report
	c.OnReport = func(_ *http.Request, r secheaders.Report) { got = append(got, r) }
	h, err := secheaders.NewCollector(c)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, "/reports", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "Browser/1")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	require.Empty(t, rec.Body.String(), "an answer never has a body")
	return rec.Code, got
}

// modern is what Chromium sends, with the query strings that it leaves in.
const modern = `[{"age":53531,"body":{"blockedURL":"https://user:pw@cdn.example/evil.js?token=s3cret#f","columnNumber":7,"disposition":"enforce",
	"documentURL":"https://app.example/cart?session=s3cret","effectiveDirective":"script-src-elem","lineNumber":12,
	"originalPolicy":"default-src 'self'; report-to main","referrer":"https://app.example/login?code=s3cret","sample":"",
	"sourceFile":"https://app.example/main.js?v=s3cret","statusCode":200},"type":"csp-violation","url":"https://app.example/cart?session=s3cret#x","user_agent":"Mozilla/5.0"}]`

func TestAReportOfTheReportingAPI(t *testing.T) {
	status, got := collect(t, secheaders.CollectorConfig{}, reportsJSON, modern)
	require.Equal(t, http.StatusNoContent, status)
	require.Len(t, got, 1)
	body := got[0].Body
	got[0].Body = nil
	assert.Equal(t, secheaders.Report{
		Type: "csp-violation", URL: "https://app.example/cart", UserAgent: "Mozilla/5.0", Age: 53531 * time.Millisecond,
		CSP: &secheaders.CSPViolation{
			DocumentURL: "https://app.example/cart", Referrer: "https://app.example/login", BlockedURL: "https://cdn.example/evil.js",
			Directive: "script-src-elem", OriginalPolicy: "default-src 'self'; report-to main", Disposition: "enforce",
			SourceFile: "https://app.example/main.js", Line: 12, Column: 7, Status: 200,
		},
	}, got[0])
	assert.NotContains(t, string(body), "s3cret")
	assert.NotContains(t, string(body), "pw@")
	assert.True(t, json.Valid(body))
}

func TestAReportOfReportURI(t *testing.T) {
	status, got := collect(t, secheaders.CollectorConfig{}, legacyJSON+"; charset=utf-8", `{"csp-report":{"document-uri":"https://app.example/?a=s3cret",
		"referrer":"","violated-directive":"img-src 'self'","original-policy":"img-src 'self'","disposition":"report","blocked-uri":"inline",
		"line-number":3,"column-number":4,"source-file":"https://app.example/a.js","status-code":200,"script-sample":"x=1"}}`)
	require.Equal(t, http.StatusNoContent, status)
	require.Len(t, got, 1)
	assert.NotContains(t, string(got[0].Body), "s3cret")
	got[0].Body = nil
	assert.Equal(t, secheaders.Report{
		Type: "csp-violation", URL: "https://app.example/", UserAgent: "Browser/1",
		CSP: &secheaders.CSPViolation{
			DocumentURL: "https://app.example/", BlockedURL: "inline", Directive: "img-src", OriginalPolicy: "img-src 'self'",
			Disposition: "report", SourceFile: "https://app.example/a.js", Line: 3, Column: 4, Status: 200, Sample: "x=1",
		},
	}, got[0])
}

func TestOtherReportsKeepTheirBody(t *testing.T) {
	status, got := collect(t, secheaders.CollectorConfig{}, reportsJSON,
		`[{"type":"coop","age":-1,"url":"https://a.example/","body":{"disposition":"enforce","openerURL":"https://b.example/x?token=s","n":12345678901234567890,"list":["data:text/html,x","see https://u:pw@b.example/x?token=s and https://c.example#t."]}},
		  {"type":"crash","age":1e300,"url":"https://a.example/"},
		  {"type":"csp-violation","body":{"lineNumber":-1,"columnNumber":1e300,"statusCode":200.5}}]`)
	require.Equal(t, http.StatusNoContent, status)
	require.Len(t, got, 3)
	assert.Equal(t, secheaders.CSPViolation{Status: 200}, *got[2].CSP, "numbers that are no line")
	assert.JSONEq(t, `{"disposition":"enforce","openerURL":"https://b.example/x","n":12345678901234567890,"list":["data","see https://b.example/x and https://c.example"]}`, string(got[0].Body))
	assert.Nil(t, got[0].CSP)
	assert.Zero(t, got[0].Age)
	assert.Equal(t, "null", string(got[1].Body))
	assert.Equal(t, 7*24*time.Hour, got[1].Age, "bounded")
}

func TestHostileBodiesAreRefusedWhole(t *testing.T) {
	good := strings.TrimSuffix(modern, "]")
	for name, tc := range map[string]struct {
		contentType, body string
		want              int
	}{
		"1 MB":                        {reportsJSON, "[" + strings.Repeat(" ", 1<<20) + "]", 413},
		"1 MB, legacy":                {legacyJSON, `{"csp-report":{"blocked-uri":"` + strings.Repeat("a", 1<<20) + `"}}`, 413},
		"deep":                        {reportsJSON, strings.Repeat("[", 30000) + strings.Repeat("]", 30000), 400},
		"deep inside":                 {reportsJSON, `[{"type":"x","body":{"a":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + "}}]", 400},
		"brackets in a string":        {reportsJSON, `[{"type":"x","url":"` + strings.Repeat("[", 5000) + `\"["}]`, 204},
		"not JSON":                    {reportsJSON, "<xml/>", 400},
		"nothing":                     {reportsJSON, "", 400},
		"cut short":                   {reportsJSON, good, 400},
		"not UTF-8":                   {reportsJSON, "[{\"type\":\"x\",\"url\":\"\xff\"}]", 400},
		"an object":                   {reportsJSON, `{"type":"x"}`, 400},
		"a list of numbers":           {reportsJSON, `[1]`, 400},
		"wrong type of a field":       {reportsJSON, `[{"type":"x","url":1}]`, 400},
		"wrong type in the violation": {reportsJSON, `[{"type":"csp-violation","body":{"lineNumber":"x"}}]`, 400},
		"a violation without body":    {reportsJSON, `[{"type":"csp-violation"}]`, 400},
		"a body that is no object":    {reportsJSON, `[{"type":"x","body":[1]}]`, 400},
		"no type":                     {reportsJSON, `[{"url":"https://a.example/"}]`, 400},
		"a type that forges a line":   {reportsJSON, `[{"type":"x\ny"}]`, 400},
		"a good one and a bad one":    {reportsJSON, good + `,{"type":1}]`, 400},
		"two documents":               {reportsJSON, modern + modern, 400},
		"an empty batch":              {reportsJSON, "[]", 204},
		"legacy without its member":   {legacyJSON, `{}`, 400},
		"legacy null":                 {legacyJSON, `{"csp-report":null}`, 400},
		"legacy list":                 {legacyJSON, `{"csp-report":[]}`, 400},
		"legacy of a wrong type":      {legacyJSON, `{"csp-report":{"blocked-uri":{}}}`, 400},
		"text":                        {"text/plain", modern, 415},
		"plain JSON":                  {"application/json", modern, 415},
		"a form":                      {"application/x-www-form-urlencoded", modern, 415},
		"no type at all":              {"", modern, 415},
	} {
		status, got := collect(t, secheaders.CollectorConfig{}, tc.contentType, tc.body)
		assert.Equal(t, tc.want, status, name)
		if tc.want != 204 {
			assert.Empty(t, got, "%s: nothing is passed on", name)
		}
	}
}

func TestABodyCostsNoMoreThanItsBound(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for name, body := range map[string]string{
		"8 MB of spaces":  strings.Repeat(" ", 8<<20),
		"many reports":    "[" + strings.Repeat(`{"type":"x"},`, 5000) + `{"type":"x"}]`,
		"deep":            strings.Repeat("[", 65000),
		"one long string": `[{"type":"x","body":{"a":"` + strings.Repeat("a", 65000) + `"}}]`,
		"many members":    `[{"type":"x","body":{` + strings.Repeat(`"a":1,`, 10000) + `"b":2}}]`,
		"many elements":   `[{"type":"x","body":{"a":[` + strings.Repeat(`0,`, 32000) + `0]}}]`,
	} {
		h, err := secheaders.NewCollector(secheaders.CollectorConfig{OnReport: func(*http.Request, secheaders.Report) {}})
		require.NoError(t, err)
		r := httptest.NewRequest(http.MethodPost, "/reports", strings.NewReader(body))
		r.ContentLength = -1 // as a client that does not say
		r.Header.Set("Content-Type", reportsJSON)
		rec := httptest.NewRecorder()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.ServeHTTP(rec, r)
		runtime.ReadMemStats(&after)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64*64<<10), "%s (answer %d)", name, rec.Code)
	}
}

func TestABatchIsBoundedInCount(t *testing.T) {
	body := "[" + strings.Repeat(`{"type":"x"},`, 99) + `{"type":"x"}]`
	status, got := collect(t, secheaders.CollectorConfig{}, reportsJSON, body)
	assert.Equal(t, http.StatusNoContent, status)
	assert.Len(t, got, 50)
	_, got = collect(t, secheaders.CollectorConfig{MaxReports: 3}, reportsJSON, body)
	assert.Len(t, got, 3)
}

func TestReportsOfExtensionsAreDropped(t *testing.T) {
	for _, body := range []string{
		`[{"type":"csp-violation","url":"https://a.example/","body":{"blockedURL":"chrome-extension://abc/x.js"}}]`,
		`[{"type":"csp-violation","url":"https://a.example/","body":{"sourceFile":"moz-extension://abc/x.js"}}]`,
		`[{"type":"csp-violation","url":"https://a.example/","body":{"sourceFile":"safari-web-extension"}}]`,
		`[{"type":"deprecation","url":"https://a.example/","body":{"sourceFile":"chrome-extension://abc/x.js"}}]`,
		`[{"type":"csp-violation","url":"chrome-extension://abc/","body":{}}]`,
	} {
		status, got := collect(t, secheaders.CollectorConfig{}, reportsJSON, body)
		assert.Equal(t, http.StatusNoContent, status)
		assert.Empty(t, got, body)
	}
}

func TestNothingInAReportForgesALogLine(t *testing.T) {
	_, got := collect(t, secheaders.CollectorConfig{}, reportsJSON,
		`[{"type":"csp-violation","url":"https://a.example/\n\u001b[31m","user_agent":"\u0000x\u2028y\u0085","body":{"sample":"a\r\nb","blockedURL":"`+strings.Repeat("a", 9000)+`"}}]`)
	require.Len(t, got, 1)
	assert.Equal(t, "https://a.example/[31m", got[0].URL)
	assert.Equal(t, "xy", got[0].UserAgent)
	assert.Equal(t, "ab", got[0].CSP.Sample)
	assert.Len(t, got[0].CSP.BlockedURL, 2048)
}

func TestAShareOfTheBodiesIsSampled(t *testing.T) {
	n := 0
	for range 2000 {
		_, got := collect(t, secheaders.CollectorConfig{Sample: 0.25}, reportsJSON, modern)
		n += len(got)
	}
	assert.InDelta(t, 500, n, 150) // over seven standard deviations
}

func TestThePreflightOfTheCollector(t *testing.T) {
	h, err := secheaders.NewCollector(secheaders.CollectorConfig{
		OnReport: func(*http.Request, secheaders.Report) {}, Origins: []string{"https://app.example"},
	})
	require.NoError(t, err)
	ask := func(method, origin, requestMethod string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/reports", strings.NewReader("[]"))
		r.Header.Set("Content-Type", reportsJSON)
		for name, v := range map[string]string{"Origin": origin, "Access-Control-Request-Method": requestMethod} {
			if v != "" {
				r.Header.Set(name, v)
			}
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	rec := ask(http.MethodOptions, "https://app.example", "POST")
	assert.Equal(t, http.StatusNoContent, rec.Code)
	assert.Equal(t, http.Header{
		"Access-Control-Allow-Origin": {"https://app.example"}, "Access-Control-Allow-Methods": {"POST"},
		"Access-Control-Allow-Headers": {"Content-Type"}, "Access-Control-Max-Age": {"7200"},
		"Cache-Control": {"no-store"}, "Vary": {"Origin"},
	}, rec.Header())

	rec = ask(http.MethodOptions, "https://attacker.example", "POST")
	assert.Equal(t, http.StatusForbidden, rec.Code)
	assert.Equal(t, http.Header{"Cache-Control": {"no-store"}, "Vary": {"Origin"}}, rec.Header())

	rec = ask(http.MethodPost, "https://app.example", "")
	assert.Equal(t, http.StatusNoContent, rec.Code)
	assert.Equal(t, "https://app.example", rec.Header().Get("Access-Control-Allow-Origin"))

	assert.Equal(t, http.StatusNoContent, ask(http.MethodOptions, "", "").Code, "no preflight")
	rec = ask(http.MethodGet, "", "")
	assert.Equal(t, http.StatusMethodNotAllowed, rec.Code)
	assert.Equal(t, "OPTIONS, POST", rec.Header().Get("Allow"))
}

func TestACompressedBodyIsNotOpened(t *testing.T) {
	h, err := secheaders.NewCollector(secheaders.CollectorConfig{OnReport: func(*http.Request, secheaders.Report) {}})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, "/reports", strings.NewReader("x"))
	r.Header.Set("Content-Type", reportsJSON)
	r.Header.Set("Content-Encoding", "gzip")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	assert.Equal(t, http.StatusUnsupportedMediaType, rec.Code)
}

func TestABadCollectorNamesEveryMistakeAtOnce(t *testing.T) {
	_, err := secheaders.NewCollector(secheaders.CollectorConfig{MaxBody: -1, MaxReports: -1, Sample: math.NaN(), Origins: []string{"*", "https://a.example/"}})
	assert.Equal(t, []string{"OnReport", "MaxBody", "MaxReports", "Sample", "Origins[0]", "Origins[1]"}, mistakesOf(t, err))
}

// The oracle: an accepted body yields valid UTF-8 without control characters,
// secrets or extensions, at most MaxReports of them; a refused one yields nothing.
func FuzzCollector(f *testing.F) {
	f.Add(true, modern)
	f.Add(false, `{"csp-report":{"document-uri":"https://a.example/?s3cret"}}`)
	f.Add(true, `[{"type":"x","body":{"a":["https://u:s3cret@h/"]}},1]`)
	f.Add(true, `[{"type":"x","url":"HTTPS://a@b@c/?#"}]`)
	f.Fuzz(func(t *testing.T, api bool, body string) {
		kind := legacyJSON
		if api {
			kind = reportsJSON
		}
		status, got := collect(t, secheaders.CollectorConfig{MaxReports: 4}, kind, body)
		if status != 204 && len(got) > 0 || len(got) > 4 {
			t.Fatalf("%d reports with status %d", len(got), status)
		}
		for _, r := range got {
			fields := []string{r.Type, r.URL, r.UserAgent}
			if r.CSP != nil {
				fields = append(fields, r.CSP.BlockedURL, r.CSP.DocumentURL, r.CSP.Referrer, r.CSP.SourceFile)
			}
			for i, s := range fields {
				if strings.ContainsAny(s, "\x00\r\n\x1b\x7f") || len(s) > 2048 || i != 2 && strings.ContainsAny(s, "?#") {
					t.Fatalf("%q passes", s)
				}
			}
			if !json.Valid(r.Body) {
				t.Fatalf("body %q", r.Body)
			}
		}
	})
}
