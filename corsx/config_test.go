package corsx_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/corsx"
)

func TestOriginsMustBeSpelledAsABrowserDoes(t *testing.T) {
	for origin, repair := range map[string]string{
		"https://app.example.com/":          `ends in a slash; did you mean "https://app.example.com"?`,
		"https://app.example.com/login":     `has a path, query or fragment; did you mean "https://app.example.com"?`,
		"https://app.example.com?x":         `did you mean "https://app.example.com"?`,
		"https://app.example.com#x":         `did you mean "https://app.example.com"?`,
		"https://app.example.com:443":       `has the default port, which browsers leave out; did you mean "https://app.example.com"?`,
		"http://localhost:80":               `did you mean "http://localhost"?`,
		"https://app.example.com:0443":      `did you mean "https://app.example.com"?`,
		"https://app.example.com:08443":     `is not written as browsers send it; did you mean "https://app.example.com:8443"?`,
		"https://app.example.com:":          `did you mean "https://app.example.com"?`,
		"https://App.Example.COM":           `is not in lower case; did you mean "https://app.example.com"?`,
		"HTTPS://app.example.com":           `is not in lower case; did you mean "https://app.example.com"?`,
		"https://app.example.com.":          `ends in a dot`,
		"https://user:pw@app.example.com":   `has user information; did you mean "https://app.example.com"?`,
		"app.example.com":                   `has no scheme; did you mean "https://app.example.com"?`,
		"//app.example.com":                 `has no scheme; did you mean "https://app.example.com"?`,
		"http://app.example.com":            `is http outside loopback: whoever is on the path can speak in its name; did you mean "https://app.example.com"?`,
		"http://app.example.com:8080":       `did you mean "https://app.example.com:8080"?`,
		"http://app.example.com:80":         `did you mean "https://app.example.com"?`,
		"http://app.example.com:443":        `did you mean "https://app.example.com"?`,
		"http://192.168.1.5:3000":           `is http outside loopback`,
		"http://localhost.attacker.example": `is http outside loopback`,
		"https://[2001:DB8::1]":             `did you mean "https://[2001:db8::1]"?`,
		"https://[2001:db8:0:0::1]":         `did you mean "https://[2001:db8::1]"?`,
		"https://[::ffff:127.0.0.1]":        `is an IPv4-mapped address`,
		"https://2001:db8::1":               `its host is an IPv6 address without brackets`,
		"https://127.1":                     `its host ends in a number`,
		"https://":                          `its host is empty`,
		"https://app..example.com":          `its host has an empty label`,
		"https://app.example.com:99999":     `its host has a port`,
		"ftp://app.example.com":             `has a scheme other than https`,
		"file://":                           `has a scheme other than https`,
		"chrome-extension://abc":            `has a scheme other than https`,
		"null":                              `is the origin of every sandboxed frame`,
		"NULL":                              `is the origin of every sandboxed frame`,
		"*":                                 `would let every site read the answers`,
		"https://*":                         `belongs in Subdomains`,
		"https://*.example.com":             `belongs in Subdomains`,
		`https://.*\.example\.com`:          `looks like a regular expression`,
		"https://(a|b).example.com":         `looks like a regular expression`,
		"^https://app.example.com$":         `looks like a regular expression`,
		"https://bücher.example":            `write the name as browsers send it, "xn--..."`,
		"https://a.example,https://b":       `has a separator`,
		"https://a.example https://b":       `has a separator`,
		" https://a.example":                `white space`,
		"https://a.example\r\nX: y":         `white space`,
		"https://a.example\x00":             `its host has a byte`,
		"":                                  `is empty`,
	} {
		_, err := corsx.New(corsx.Config{Origins: []string{app, origin}})
		require.Error(t, err, origin)
		var mistake *gatehouse.ConfigError
		require.ErrorAs(t, err, &mistake)
		assert.Equal(t, "Origins[1]", mistake.Field)
		assert.Equal(t, origin, mistake.Value)
		assert.Contains(t, mistake.Reason, repair, origin)
		// what it proposes is right
		if _, tail, ok := strings.Cut(mistake.Reason, `did you mean "`); ok {
			better, _, _ := strings.Cut(tail, `"`)
			_, err := corsx.New(corsx.Config{Origins: []string{better}})
			assert.NoError(t, err, better)
		}
		_, err = corsx.ParseOrigins(app + ",x" + origin + ",")
		assert.Error(t, err)
	}
	for _, origin := range []string{
		"https://app.example.com", "https://app.example.com:8443", "https://xn--bcher-kva.example", "https://192.0.2.1", "https://[2001:db8::1]:8443",
		"http://localhost", "http://localhost:5173", "http://127.0.0.1:3000", "http://127.0.0.2", "http://[::1]:3000", "http://tenant.localhost:3000",
		"https://intranet", "https://my_app.example.com", "https://myapp.up.railway.app", "https://app.example.com:80", "http://localhost:443",
	} {
		_, err := corsx.New(corsx.Config{Origins: []string{origin, origin}})
		assert.NoError(t, err, origin)
	}
}

func TestSubdomainsAreRefusedWhereNamesBelowBelongToOthers(t *testing.T) {
	for pattern, why := range map[string]string{
		"https://*.com":                             "is a top-level domain",
		"https://*.co.uk":                           "is a public suffix",
		"https://*.github.io":                       "is a public suffix",
		"https://*.vercel.app":                      "is a public suffix",
		"https://*.up.railway.app":                  "is a public suffix",
		"https://*.internal":                        "is a top-level domain",
		"https://*.railway.app":                     "is shared",
		"https://*.run.app":                         "is shared",
		"https://*.europe-west1.run.app":            "is a public suffix",
		"https://*.koyeb.app":                       "is shared",
		"https://*.northflank.app":                  "is shared",
		"https://*.code.run":                        "is shared",
		"https://*.azurecontainerapps.io":           "is shared",
		"https://*.eastus.azurecontainerapps.io":    "is shared",
		"https://*.github.dev":                      "is shared",
		"https://*.koyeb.app:8443":                  "is shared",
		"https://example.com":                       "belongs in Origins",
		"*.example.com":                             `must be a scheme, "://*." and a domain`,
		"https://*example.com":                      `must be a scheme, "://*." and a domain`,
		"https://a.*.example.com":                   `must be a scheme, "://*." and a domain`,
		"https://*":                                 `must be a scheme, "://*." and a domain`,
		"*":                                         `must be a scheme, "://*." and a domain`,
		"":                                          `must be a scheme, "://*." and a domain`,
		"https://*.*.example.com":                   `more than one "*."`,
		"https://*.example.com,https://*.b.example": "a byte that no host has",
		"https://*.example.com/":                    `did you mean "https://*.example.com"?`,
		"https://*.Example.com":                     `did you mean "https://*.example.com"?`,
		"https://*.example.com:443":                 `did you mean "https://*.example.com"?`,
		"http://*.example.com":                      `did you mean "https://*.example.com"?`,
		"https://*.127.0.0.1":                       "is an address",
		"https://*.[::1]":                           "is an address",
		"https://*.":                                "its host is empty",
		"https://*..example.com":                    "its host has an empty label",
	} {
		_, err := corsx.New(corsx.Config{Subdomains: []string{pattern}})
		if assert.Error(t, err, pattern) {
			assert.Contains(t, err.Error(), why, pattern)
			assert.Contains(t, err.Error(), "corsx: Subdomains[0]")
		}
	}
	for _, pattern := range []string{
		"https://*.example.com", "https://*.a.example.com:8443", "https://*.example.co.uk", "http://*.localhost", "http://*.localhost:3000",
		"https://*.myapp.up.railway.app", "https://*.corp.internal", "https://*.env-1234.eastus.azurecontainerapps.io",
	} {
		_, err := corsx.New(corsx.Config{Subdomains: []string{pattern}})
		assert.NoError(t, err, pattern)
	}
}

func TestMethodsAndHeadersThatCannotWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		cfg corsx.Config
		why string
	}{
		{corsx.Config{Methods: []string{"*"}}, `Methods[0] "*": there is no wildcard`},
		{corsx.Config{Methods: []string{"put"}}, `did you mean "PUT"?`},
		{corsx.Config{Methods: []string{"Patch"}}, `did you mean "PATCH"?`},
		{corsx.Config{Methods: []string{"PUT", "PUT,DELETE"}}, `Methods[1] "PUT,DELETE": is not a method`},
		{corsx.Config{Methods: []string{""}}, `is not a method`},
		{corsx.Config{Methods: []string{"PUT\r\nX: y"}}, `is not a method`},
		{corsx.Config{Methods: []string{"TRACE"}}, `no browser sends`},
		{corsx.Config{Methods: []string{"trace"}}, `no browser sends`},
		{corsx.Config{Methods: []string{"TRACK"}}, `no browser sends`},
		{corsx.Config{Methods: []string{"CONNECT"}}, `no browser sends`},
		{corsx.Config{RequestHeaders: []string{"*"}}, `there is no wildcard`},
		{corsx.Config{RequestHeaders: []string{"Authorization, Content-Type"}}, `is not a header name`},
		{corsx.Config{RequestHeaders: []string{""}}, `is not a header name`},
		{corsx.Config{RequestHeaders: []string{"Cookie"}}, `for cookies set Credentials`},
		{corsx.Config{RequestHeaders: []string{"host"}}, `no page can set`},
		{corsx.Config{RequestHeaders: []string{"ORIGIN"}}, `no page can set`},
		{corsx.Config{RequestHeaders: []string{"Sec-Fetch-Site"}}, `no page can set`},
		{corsx.Config{RequestHeaders: []string{"Proxy-Authorization"}}, `no page can set`},
		{corsx.Config{RequestHeaders: []string{"Access-Control-Allow-Origin"}}, `is a response header`},
		{corsx.Config{ExposedHeaders: []string{"*"}}, `there is no wildcard`},
		{corsx.Config{ExposedHeaders: []string{"Set-Cookie"}}, `no page can read`},
		{corsx.Config{ExposedHeaders: []string{"X-A\r\nX-B: c"}}, `is not a header name`},
		{corsx.Config{ExposedHeaders: []string{"Access-Control-Allow-Origin"}}, `browsers keep to themselves`},
		{corsx.Config{MaxAge: 25 * time.Hour}, `MaxAge "25h0m0s": is longer than any browser honours`},
		{corsx.Config{MaxAge: 600}, `did you mean 600 * time.Second?`},
		{corsx.Config{MaxAge: 1500 * time.Millisecond}, `is not in whole seconds`},
	} {
		_, err := corsx.New(c.cfg)
		if assert.Error(t, err, c.why) {
			assert.Contains(t, err.Error(), c.why)
		}
	}
	_, err := corsx.New(corsx.Config{
		Methods:        []string{"GET", "POST", "PUT", "PUT", "PATCH", "OPTIONS", "QUERY", "PROPFIND"},
		RequestHeaders: []string{"authorization", "Authorization", "X-CSRF-Token", "Content-Type", "Range", "x_odd~name"},
		ExposedHeaders: []string{"RateLimit", "RateLimit-Policy", "Retry-After", "ETag", "etag", "Content-Type"},
		MaxAge:         2 * time.Hour,
	})
	assert.NoError(t, err)
}

func TestNewReturnsAllMistakesAtOnce(t *testing.T) {
	_, err := corsx.New(corsx.Config{
		Origins: []string{"*", app, "null"}, Subdomains: []string{"https://*.com"}, Methods: []string{"put", "*"},
		RequestHeaders: []string{"Cookie"}, ExposedHeaders: []string{"Set-Cookie"}, MaxAge: 48 * time.Hour,
	})
	var joined interface{ Unwrap() []error }
	require.True(t, errors.As(err, &joined))
	var fields []string
	for _, e := range joined.Unwrap() {
		var mistake *gatehouse.ConfigError
		require.ErrorAs(t, e, &mistake)
		assert.Equal(t, "corsx", mistake.Package)
		fields = append(fields, mistake.Field)
	}
	assert.Equal(t, []string{"Origins[0]", "Origins[2]", "Subdomains[0]", "Methods[0]", "Methods[1]", "RequestHeaders[0]", "ExposedHeaders[0]", "MaxAge"}, fields)
}

func TestEveryPreflightAnswerIsUnderOneKiB(t *testing.T) {
	// As many names as New accepts, then one more.
	var cfg corsx.Config
	for n := 1; ; n++ {
		longer := usual()
		for i := range n {
			longer.RequestHeaders = append(longer.RequestHeaders, fmt.Sprintf("X-Name-%d", i))
		}
		if _, err := corsx.New(longer); err != nil {
			assert.Contains(t, err.Error(), "corsx: RequestHeaders: with Methods they make a preflight's answer of")
			break
		}
		cfg = longer
	}
	assert.Greater(t, len(cfg.RequestHeaders), 30)
	srv := httptest.NewServer(build(t, cfg).Handler(teapot))
	defer srv.Close()
	for _, origin := range append(cfg.Origins, attacker) {
		got := raw(t, srv, "OPTIONS / HTTP/1.1", "Host: x", "Origin: "+origin, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-name-1")
		assert.Less(t, len(got), 1024)
	}
}

func TestParseOrigins(t *testing.T) {
	for list, want := range map[string][]string{
		"":                          nil,
		"  \n":                      nil,
		app:                         {app},
		app + ",http://localhost":   {app, "http://localhost"},
		" " + app + " ,\thttps://b": {app, "https://b"},
	} {
		got, err := corsx.ParseOrigins(list)
		assert.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for list, why := range map[string]string{
		",":                           "Origins[0]: is empty",
		app + ",":                     "Origins[1]: is empty",
		"*":                           `Origins[0] "*": would let every site`,
		app + ";" + app:               "has a separator",
		`["https://app.example.com"]`: "is a JSON list",
		"https://*.example.com":       "belongs in Subdomains",
		"a.example,b.example":         `corsx: Origins[1] "b.example": has no scheme; did you mean "https://b.example"?`,
	} {
		got, err := corsx.ParseOrigins(list)
		assert.Nil(t, got)
		if assert.Error(t, err, list) {
			assert.Contains(t, err.Error(), why)
		}
	}
}
