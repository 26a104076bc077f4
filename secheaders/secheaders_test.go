package secheaders_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/internal/mwtest"
	"github.com/gatehouse-go/gatehouse/secheaders"
)

// secureByDefault and plainByDefault are typed from the header pages of MDN, not
// from our constants.
var secureByDefault = http.Header{
	"Strict-Transport-Security":         {"max-age=63072000; includeSubDomains"},
	"Content-Security-Policy":           {"default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; upgrade-insecure-requests"},
	"X-Frame-Options":                   {"DENY"},
	"X-Content-Type-Options":            {"nosniff"},
	"Referrer-Policy":                   {"strict-origin-when-cross-origin"},
	"Permissions-Policy":                {"accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()"},
	"Cross-Origin-Opener-Policy":        {"same-origin"},
	"Cross-Origin-Resource-Policy":      {"same-origin"},
	"Origin-Agent-Cluster":              {"?1"},
	"X-Permitted-Cross-Domain-Policies": {"none"},
	"X-Xss-Protection":                  {"0"},
}

func plainByDefault() http.Header {
	h := secureByDefault.Clone()
	h.Del("Strict-Transport-Security")
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
	return h
}

func build(t testing.TB, c secheaders.Config) *secheaders.Middleware {
	t.Helper()
	m, err := secheaders.New(c)
	require.NoError(t, err)
	return m
}

func with(t testing.TB, m *secheaders.Middleware, edit func(*secheaders.Config)) *secheaders.Middleware {
	t.Helper()
	v, err := m.With(edit)
	require.NoError(t, err)
	return v
}

// get serves one request without a socket; url decides on HTTPS.
func get(h http.Handler, url string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, url, nil))
	return rec
}

var nothing = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// mistakesOf lists the fields that err complains about.
func mistakesOf(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	fields := make([]string, 0, len(all))
	for _, e := range all {
		var c *gatehouse.ConfigError
		require.ErrorAs(t, e, &c)
		require.Equal(t, "secheaders", c.Package)
		require.NotEmpty(t, c.Reason)
		require.NotContains(t, c.Error(), "%!", "a format that does not fit")
		fields = append(fields, c.Field)
	}
	return fields
}

func TestTheZeroConfigSendsTheDefaultSetAndNothingMore(t *testing.T) {
	h := build(t, secheaders.Config{}).Handler(nothing)
	assert.Equal(t, secureByDefault, get(h, "https://example.com/").Header(), "over HTTPS")
	assert.Equal(t, plainByDefault(), get(h, "http://example.com/").Header(), "over HTTP")
}

func TestTheDefaultPresetIsTheZeroConfig(t *testing.T) {
	assert.Equal(t, build(t, secheaders.Config{}).Describe(), build(t, secheaders.Default()).Describe())
}

func TestDescribeIsWhatAPlainHTTPSRequestGets(t *testing.T) {
	nonce := secheaders.Default()
	nonce.CSP.Script = []secheaders.Source{secheaders.NonceSource}
	for name, c := range map[string]secheaders.Config{
		"Default": secheaders.Default(), "API": secheaders.API(), "OWASP": secheaders.OWASP(),
		"FlutterWeb": secheaders.FlutterWeb(secheaders.FlutterOptions{CDN: true, Isolated: true}), "nonce": nonce,
	} {
		m := build(t, c)
		sent := get(m.Handler(nothing), "https://example.com/").Header()
		described := m.Describe()
		if name == "nonce" {
			_, rest, _ := strings.Cut(sent.Get("Content-Security-Policy"), "'nonce-")
			drawn, _, _ := strings.Cut(rest, "'")
			described.Set("Content-Security-Policy", strings.ReplaceAll(described.Get("Content-Security-Policy"), "{nonce}", drawn))
		}
		assert.Equal(t, sent, described, name)
	}
}

func TestEveryHeaderThatAFieldCanSend(t *testing.T) {
	m := build(t, secheaders.Config{
		CSP:             &secheaders.Policy{Default: []secheaders.Source{secheaders.Self}, ReportTo: "main"},
		CSPReportOnly:   &secheaders.Policy{Default: []secheaders.Source{secheaders.None}, ReportURI: []string{"/reports"}},
		HSTS:            &secheaders.HSTS{Preload: true},
		Frame:           secheaders.FrameSameOrigin,
		Referrer:        []secheaders.ReferrerPolicy{secheaders.NoReferrer, secheaders.StrictOrigin},
		Permissions:     secheaders.Permissions{secheaders.Camera: nil, secheaders.Geolocation: {"self", "https://maps.example.com"}, secheaders.Fullscreen: {"*"}},
		COOP:            secheaders.COOPSameOrigin.ReportTo("main"),
		COOPReportOnly:  secheaders.COOPNoopenerAllowPopups,
		COEP:            secheaders.COEPCredentialless,
		COEPReportOnly:  secheaders.COEPRequireCORP.ReportTo("main"),
		CORP:            secheaders.CORPSameSite,
		IntegrityPolicy: &secheaders.Integrity{BlockedDestinations: []string{"script", "style"}, Endpoints: []string{"main"}},
		Reporting:       map[string]string{"main": "https://r.example.com/x", "default": "/reports"},
		NoStore:         true,
		ClearSiteData:   []secheaders.SiteData{secheaders.ClearCache, secheaders.ClearCookies},
		Extra:           http.Header{"x-robots-tag": {"noindex", "nofollow"}},
		InsecureOmit:    []string{"x-xss-protection"},
	})
	want := http.Header{
		"Strict-Transport-Security":                {"max-age=63072000; includeSubDomains; preload"},
		"Content-Security-Policy":                  {"default-src 'self'; report-to main"},
		"Content-Security-Policy-Report-Only":      {"default-src 'none'; report-uri /reports"},
		"X-Frame-Options":                          {"SAMEORIGIN"},
		"X-Content-Type-Options":                   {"nosniff"},
		"Referrer-Policy":                          {"no-referrer, strict-origin"},
		"Permissions-Policy":                       {`camera=(), fullscreen=*, geolocation=(self "https://maps.example.com")`},
		"Cross-Origin-Opener-Policy":               {`same-origin; report-to="main"`},
		"Cross-Origin-Opener-Policy-Report-Only":   {"noopener-allow-popups"},
		"Cross-Origin-Embedder-Policy":             {"credentialless"},
		"Cross-Origin-Embedder-Policy-Report-Only": {`require-corp; report-to="main"`},
		"Cross-Origin-Resource-Policy":             {"same-site"},
		"Integrity-Policy":                         {"blocked-destinations=(script style), endpoints=(main)"},
		"Reporting-Endpoints":                      {`default="/reports", main="https://r.example.com/x"`},
		"Cache-Control":                            {"no-store"},
		"Clear-Site-Data":                          {`"cache", "cookies"`},
		"Origin-Agent-Cluster":                     {"?1"},
		"X-Permitted-Cross-Domain-Policies":        {"none"},
		"X-Robots-Tag":                             {"noindex", "nofollow"},
	}
	assert.Equal(t, want, m.Describe())
}

func TestIntegrityPolicyHasAReportOnlyTwin(t *testing.T) {
	h := build(t, secheaders.Config{IntegrityPolicy: &secheaders.Integrity{BlockedDestinations: []string{"script"}, ReportOnly: true}}).Describe()
	assert.Equal(t, "blocked-destinations=(script)", h.Get("Integrity-Policy-Report-Only"))
	assert.NotContains(t, h, "Integrity-Policy")
}

func TestHSTS(t *testing.T) {
	for _, tc := range []struct {
		hsts secheaders.HSTS
		want string
	}{
		{secheaders.HSTS{}, "max-age=63072000; includeSubDomains"},
		{secheaders.HSTS{MaxAge: 300e9}, "max-age=300; includeSubDomains"},
		{secheaders.HSTS{ExcludeSubDomains: true}, "max-age=63072000"},
		{secheaders.HSTS{Revoke: true}, "max-age=0"},
	} {
		h := build(t, secheaders.Config{HSTS: &tc.hsts}).Handler(nothing)
		assert.Equal(t, []string{tc.want}, get(h, "https://example.com/").Header()["Strict-Transport-Security"])
		assert.NotContains(t, get(h, "http://example.com/").Header(), "Strict-Transport-Security")
	}
}

func TestHTTPSDecidesWhatIsSentOnlyOverHTTPS(t *testing.T) {
	m := build(t, secheaders.Config{HTTPS: func(r *http.Request) bool { return r.Header.Get("X-Edge") == "tls" }})
	r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
	r.Header.Set("X-Edge", "tls")
	rec := httptest.NewRecorder()
	m.Handler(nothing).ServeHTTP(rec, r)
	assert.Equal(t, secureByDefault, rec.Header())
	assert.Equal(t, plainByDefault(), get(m.Handler(nothing), "https://example.com/").Header())
}

func TestXFrameOptionsFollowsThePolicy(t *testing.T) {
	for want, ancestors := range map[string][]secheaders.Source{
		"DENY":       {secheaders.None},
		"SAMEORIGIN": {secheaders.Self},
		"":           {secheaders.Self, "https://partner.example"},
	} {
		p := &secheaders.Policy{Default: []secheaders.Source{secheaders.Self}, FrameAncestors: ancestors}
		assert.Equal(t, want, build(t, secheaders.Config{CSP: p}).Describe().Get("X-Frame-Options"))
	}
	none := &secheaders.Policy{Default: []secheaders.Source{secheaders.Self}}
	assert.Equal(t, "DENY", build(t, secheaders.Config{CSP: none}).Describe().Get("X-Frame-Options"), "no frame-ancestors")
}

func TestAHandlersOwnValueWins(t *testing.T) {
	h := build(t, secheaders.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		w.Header().Del("X-Xss-Protection")
	}))
	got := get(h, "https://example.com/").Header()
	assert.Equal(t, []string{"SAMEORIGIN"}, got["X-Frame-Options"])
	assert.NotContains(t, got, "X-Xss-Protection")
}

func TestWhatOuterLayersSetIsReplacedAndVaryIsNot(t *testing.T) {
	rec := httptest.NewRecorder()
	rec.Header().Add("Referrer-Policy", "unsafe-url")
	rec.Header().Add("Referrer-Policy", "origin")
	rec.Header().Set("Vary", "Origin")
	build(t, secheaders.Config{}).Handler(nothing).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, []string{"strict-origin-when-cross-origin"}, rec.Header()["Referrer-Policy"])
	assert.Equal(t, []string{"Origin"}, rec.Header()["Vary"])
}

func TestAnInnerVariantsSetReplacesTheOuterOnes(t *testing.T) {
	base := secheaders.Default()
	base.COEP = secheaders.COEPRequireCORP
	base.NoStore = true
	base.Extra = http.Header{"X-Robots-Tag": {"noindex"}}
	outer := build(t, base)
	inner := with(t, outer, func(c *secheaders.Config) {
		c.COEP, c.NoStore, c.Extra = "", false, nil
		c.CSP.Img = []secheaders.Source{secheaders.Self, secheaders.Scheme("data")}
		c.InsecureOmit = []string{"X-Frame-Options"}
	})
	sibling := with(t, outer, func(c *secheaders.Config) { c.ClearSiteData = []secheaders.SiteData{secheaders.ClearEverything} })

	want := get(inner.Handler(nothing), "https://example.com/").Header()
	assert.NotContains(t, want, "X-Frame-Options")
	assert.Contains(t, want.Get("Content-Security-Policy"), "img-src 'self' data:")
	assert.Equal(t, want, get(outer.Handler(inner.Handler(nothing)), "https://example.com/").Header())
	assert.Equal(t, want, get(outer.Handler(sibling.Handler(inner.Handler(nothing))), "https://example.com/").Header())
	plain := get(inner.Handler(nothing), "http://example.com/").Header()
	assert.Equal(t, plain, get(outer.Handler(inner.Handler(nothing)), "http://example.com/").Header())
}

func TestWithChangesNothingButTheVariant(t *testing.T) {
	m := build(t, secheaders.Config{})
	before := m.Describe()
	with(t, m, func(c *secheaders.Config) {
		c.CSP.Default[0] = secheaders.None
		c.Permissions[secheaders.Camera] = []string{"*"}
		c.HSTS.Preload = true
		c.Referrer[0] = secheaders.UnsafeURL
	})
	assert.Equal(t, before, m.Describe())

	_, err := m.With(func(c *secheaders.Config) { c.COOP = "same-orgin" })
	assert.Equal(t, []string{"COOP"}, mistakesOf(t, err))
	_, err = m.With(nil)
	assert.Equal(t, []string{"With"}, mistakesOf(t, err))
}

func TestABadConfigNamesEveryMistakeAtOnce(t *testing.T) {
	_, err := secheaders.New(secheaders.Config{
		CSP: &secheaders.Policy{
			Default: []secheaders.Source{}, Script: []secheaders.Source{secheaders.StrictDynamic},
			ReportTo: "nobody", FrameAncestors: []secheaders.Source{secheaders.Self},
			Sandbox: []secheaders.SandboxToken{"allow-script"}, TrustedTypes: []string{},
			ReportURI: []string{"http://attacker.example/"},
		},
		CSPReportOnly:   &secheaders.Policy{UpgradeInsecure: true, Sandbox: []secheaders.SandboxToken{}, ReportTo: "nobody"},
		HSTS:            &secheaders.HSTS{MaxAge: -1},
		Frame:           secheaders.FrameDeny,
		Referrer:        []secheaders.ReferrerPolicy{},
		Permissions:     secheaders.Permissions{"geo-location": nil, secheaders.Camera: {"'self'"}},
		COOP:            "same-origin-allow-popup",
		COOPReportOnly:  secheaders.COOPSameOrigin.ReportTo("nobody"),
		COEP:            "require",
		CORP:            "none",
		IntegrityPolicy: &secheaders.Integrity{Endpoints: []string{"nobody"}},
		Reporting:       map[string]string{"Main": "//attacker.example/"},
		ClearSiteData:   []secheaders.SiteData{`"cache"`},
		Extra: http.Header{
			"Content-Security-Policy": {"default-src *"}, "Vary": {"Origin"}, "X-Content-Type-Options": {"nosniff"},
			"X-A": {"a\r\nSet-Cookie: x=y"}, "X-B": {}, "bad name": {"x"},
		},
		InsecureOmit: []string{"X-Frame-Option"},
	})
	assert.Equal(t, []string{
		"CSP.Default", "CSP.Script", "CSP.Sandbox[0]", "CSP.TrustedTypes", "CSP.ReportURI[0]",
		"CSPReportOnly.UpgradeInsecure", "CSPReportOnly.Sandbox",
		"HSTS", "Frame", "Referrer", `Permissions["camera"][0]`, `Permissions["geo-location"]`,
		"COOP", "COOPReportOnly", "COEP", "CORP",
		"IntegrityPolicy.BlockedDestinations", "IntegrityPolicy.Endpoints[0]",
		"CSP.ReportTo", "CSPReportOnly.ReportTo", `Reporting["Main"]`, `Reporting["Main"]`,
		"ClearSiteData[0]",
		`Extra["Content-Security-Policy"]`, `Extra["Vary"]`, `Extra["X-A"][0]`, `Extra["X-B"]`, `Extra["X-Content-Type-Options"]`, `Extra["bad name"]`,
		"InsecureOmit[0]",
	}, mistakesOf(t, err))
}

func TestCollisionsAreExplained(t *testing.T) {
	for name, tc := range map[string]struct {
		config secheaders.Config
		field  string
		says   string
	}{
		"frame options against frame-ancestors": {
			secheaders.Config{Frame: secheaders.FrameSameOrigin}, "Frame", "leave Frame empty and it follows",
		},
		"popups against isolation": {
			secheaders.Config{COOP: secheaders.COOPSameOriginAllowPopups, COEP: secheaders.COEPRequireCORP}, "COOP", "use With",
		},
		"preload without subdomains": {
			secheaders.Config{HSTS: &secheaders.HSTS{Preload: true, ExcludeSubDomains: true}}, "HSTS", "requires them",
		},
		"preload under a year": {
			secheaders.Config{HSTS: &secheaders.HSTS{Preload: true, MaxAge: 31535999e9}}, "HSTS", "under a year",
		},
		"switching off without saying so": {
			secheaders.Config{HSTS: &secheaders.HSTS{MaxAge: -1e9}}, "HSTS", "set Revoke",
		},
		"half a second": {
			secheaders.Config{HSTS: &secheaders.HSTS{MaxAge: 1.5e9}}, "HSTS", "whole seconds",
		},
		"revoke and more": {
			secheaders.Config{HSTS: &secheaders.HSTS{Revoke: true, Preload: true}}, "HSTS", "stands alone",
		},
		"a COOP that does not end": {
			secheaders.Config{COOP: `same-origin; report-to="main`, Reporting: map[string]string{"main": "/r"}}, "COOP", "is none of",
		},
		"no-store twice": {
			secheaders.Config{NoStore: true, Extra: http.Header{"Cache-Control": {"private"}}}, `Extra["Cache-Control"]`, "NoStore",
		},
	} {
		_, err := secheaders.New(tc.config)
		require.Equal(t, []string{tc.field}, mistakesOf(t, err), name)
		assert.ErrorContains(t, err, tc.says, name)
	}
}

func TestExtraMayReplaceAnOmittedConstant(t *testing.T) {
	m := build(t, secheaders.Config{InsecureOmit: []string{"Origin-Agent-Cluster"}, Extra: http.Header{"Origin-Agent-Cluster": {"?0"}}})
	assert.Equal(t, []string{"?0"}, m.Describe()["Origin-Agent-Cluster"])
}

func TestEveryDefaultHeaderCanBeOmitted(t *testing.T) {
	all := slices.Sorted(maps.Keys(secureByDefault))
	assert.Empty(t, build(t, secheaders.Config{InsecureOmit: all}).Describe())
	for _, name := range all {
		want := secureByDefault.Clone()
		delete(want, name)
		assert.Equal(t, want, build(t, secheaders.Config{InsecureOmit: []string{strings.ToLower(name)}}).Describe())
	}
}

func TestErrorsAreConfigErrors(t *testing.T) {
	_, err := secheaders.New(secheaders.Config{COEP: "yes"})
	var c *gatehouse.ConfigError
	require.True(t, errors.As(err, &c))
	assert.Equal(t, `secheaders: COEP "yes": is none of unsafe-none, require-corp, credentialless`, err.Error())
}

func TestANilNextHandlerIsFoundAtStartUp(t *testing.T) {
	assert.Panics(t, func() { build(t, secheaders.Config{}).Handler(nil) })
}

// full is a Config with every field that has a pointer, slice or map in it.
func full() secheaders.Config {
	c := secheaders.Default()
	c.CSP.Sandbox = []secheaders.SandboxToken{secheaders.AllowScripts}
	c.CSP.TrustedTypes = []string{"app"}
	c.CSP.ReportURI = []string{"/reports"}
	c.CSPReportOnly = &secheaders.Policy{Default: []secheaders.Source{secheaders.None}}
	c.IntegrityPolicy = &secheaders.Integrity{BlockedDestinations: []string{"script"}, Endpoints: []string{"main"}}
	c.Reporting = map[string]string{"main": "/reports"}
	c.ClearSiteData = []secheaders.SiteData{secheaders.ClearCache}
	c.Extra = http.Header{"X-Robots-Tag": {"noindex"}}
	c.InsecureOmit = []string{"X-XSS-Protection"}
	return c
}

func mutate(c secheaders.Config) {
	for _, list := range [][]secheaders.Source{c.CSP.Default, c.CSP.Object, c.CSP.Script, c.CSPReportOnly.Default} {
		for i := range list {
			list[i] = "https://attacker.example"
		}
	}
	c.CSP.Sandbox[0], c.CSP.TrustedTypes[0], c.CSP.ReportURI[0] = secheaders.AllowForms, "other", "/other"
	c.CSP.ReportTo, c.CSPReportOnly.UpgradeInsecure, c.HSTS.Revoke = "other", true, true
	c.Referrer[0] = secheaders.UnsafeURL
	c.Permissions[secheaders.Camera] = []string{"*"}
	c.IntegrityPolicy.BlockedDestinations[0], c.IntegrityPolicy.Endpoints[0] = "style", "other"
	c.Reporting["main"] = "/other"
	c.ClearSiteData[0] = secheaders.ClearEverything
	c.Extra["X-Robots-Tag"][0] = "all"
	c.Extra["X-Other"] = []string{"x"}
	c.InsecureOmit[0] = "X-Frame-Options"
}

func TestAConfigIsCopied(t *testing.T) {
	c := full()
	m := build(t, c)
	before := m.Describe()
	mutate(c)
	assert.Equal(t, before, m.Describe())
	assert.Equal(t, before, with(t, m, func(*secheaders.Config) {}).Describe())
}

func TestTheBehaviourSuite(t *testing.T) {
	variants := map[string]func(testing.TB, secheaders.Config) *secheaders.Middleware{
		"static": build,
		"nonce": func(t testing.TB, c secheaders.Config) *secheaders.Middleware {
			c.CSP.Script = []secheaders.Source{secheaders.NonceSource}
			return build(t, c)
		},
		"variant without the outer nonce": func(t testing.TB, c secheaders.Config) *secheaders.Middleware {
			c.CSP.Script = []secheaders.Source{secheaders.NonceSource}
			return with(t, build(t, c), func(c *secheaders.Config) { c.CSP.Script = nil })
		},
	}
	for name, make := range variants {
		t.Run(name, func(t *testing.T) {
			mwtest.Run(t, mwtest.Suite{New: func(t testing.TB) (mwtest.Middleware, func()) {
				c := full()
				m := make(t, c)
				return m.Handler, func() { mutate(c) }
			}})
		})
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	endpoint := func(url string) secheaders.Config {
		return secheaders.Config{Reporting: map[string]string{"main": url}}
	}
	for says, c := range map[string]secheaders.Config{
		"has no directive; leave it nil for the default": {CSP: &secheaders.Policy{}},
		"has no directive; leave it nil, or":             {CSPReportOnly: &secheaders.Policy{}},
		"to name origins use CSP.FrameAncestors":         {Frame: "ALLOW-FROM https://a.example"},
		"did you mean no-referrer?":                      {Referrer: []secheaders.ReferrerPolicy{"no-referer"}},
		"is listed twice":                                {Referrer: []secheaders.ReferrerPolicy{secheaders.SameOrigin, secheaders.SameOrigin}},
		"is none of script, style":                       {IntegrityPolicy: &secheaders.Integrity{BlockedDestinations: []string{"image"}}},
		"is given twice in different cases":              {Extra: http.Header{"X-A": {"1"}, "x-a": {"2"}}},
		"is no value of this header":                     {ClearSiteData: []secheaders.SiteData{"everything"}},
		"white space":                                    endpoint("/a b"),
		"is not ASCII":                                   endpoint("/ü"),
		"percent-encode":                                 endpoint("/<x>"),
		"is no URL":                                      endpoint("https://a.example/%zz"),
		"user information":                               endpoint("https://u@a.example/"),
		"has a fragment":                                 endpoint("/a#"),
		"neither a path":                                 endpoint("reports"),
		"neither a path (":                               endpoint("ftp://a.example/"),
		"has a host that":                                endpoint("https://a..example/"),
		"wrong IPv6 address":                             endpoint("https://[fe80::1%25eth0]/"),
		"plain HTTP":                                     endpoint("http://a.example/"),
	} {
		_, err := secheaders.New(c)
		assert.Len(t, mistakesOf(t, err), 1, says)
		assert.ErrorContains(t, err, says)
	}
	for _, url := range []string{"/", "/reports?a=b", "https://a.example:8443/r", "https://[2001:db8::1]/r", "http://localhost:8000/r", "http://127.0.0.1/r", "http://[::1]:80/r"} {
		_, err := secheaders.New(endpoint(url))
		assert.NoError(t, err, url)
	}
}

func TestThePackageCommentTellsTheDefaultSet(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	words := strings.Join(strings.Fields(strings.ReplaceAll(string(source), "//", " ")), " ")
	for name, value := range plainByDefault() {
		if name == "X-Xss-Protection" {
			name = "X-XSS-Protection"
		}
		assert.Contains(t, words, name+" "+value[0])
	}
	assert.Contains(t, words, "Strict-Transport-Security max-age=63072000; includeSubDomains")
}
