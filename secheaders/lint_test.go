package secheaders_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/secheaders"
)

func TestLintHasNothingToSayOfTheDefaultSet(t *testing.T) {
	assert.Empty(t, secheaders.Lint(secheaders.Config{}))
	assert.Empty(t, secheaders.Lint(secheaders.Default()))
	assert.Empty(t, secheaders.Lint(secheaders.API()))
	assert.Empty(t, secheaders.Lint(secheaders.OWASP()))
	assert.Empty(t, secheaders.Lint(nonceConfig()))
}

func TestLintOfFlutterNamesItsInlineStyles(t *testing.T) {
	found := secheaders.Lint(secheaders.FlutterWeb(secheaders.FlutterOptions{CDN: true, Isolated: true}))
	require.Len(t, found, 1)
	assert.Equal(t, "csp-style-inline", found[0].ID)
	assert.Equal(t, secheaders.Low, found[0].Severity)
}

func TestLint(t *testing.T) {
	strict := func(edit func(*secheaders.Policy)) secheaders.Config {
		c := secheaders.Default()
		edit(c.CSP)
		return c
	}
	type found struct {
		id       string
		severity secheaders.Severity
		field    string
	}
	for name, tc := range map[string]struct {
		config secheaders.Config
		want   []found
	}{
		"inline scripts": {
			strict(func(p *secheaders.Policy) { p.Script = []secheaders.Source{secheaders.Self, secheaders.UnsafeInline} }),
			[]found{{"csp-unsafe-inline", secheaders.High, "CSP.Script"}},
		},
		"inline scripts by the fallback": {
			strict(func(p *secheaders.Policy) { p.Default = []secheaders.Source{secheaders.UnsafeInline} }),
			[]found{{"csp-unsafe-inline", secheaders.High, "CSP.Default"}, {"csp-style-inline", secheaders.Low, "CSP.Default"}},
		},
		"inline beside a hash": {
			strict(func(p *secheaders.Policy) { p.Script = []secheaders.Source{alert256, secheaders.UnsafeInline} }),
			[]found{{"csp-ignored", secheaders.Info, "CSP.Script"}},
		},
		"inline handlers": {
			strict(func(p *secheaders.Policy) { p.ScriptAttr = []secheaders.Source{secheaders.UnsafeInline} }),
			[]found{{"csp-unsafe-inline", secheaders.High, "CSP.ScriptAttr"}},
		},
		"eval": {
			strict(func(p *secheaders.Policy) { p.Script = []secheaders.Source{secheaders.UnsafeEval} }),
			[]found{{"csp-unsafe-eval", secheaders.Medium, "CSP.Script"}},
		},
		"every host": {
			strict(func(p *secheaders.Policy) { p.ScriptElem = []secheaders.Source{"https:"} }),
			[]found{{"csp-script-open", secheaders.High, "CSP.ScriptElem"}},
		},
		"every host beside strict-dynamic": {
			strict(func(p *secheaders.Policy) {
				p.Script = []secheaders.Source{secheaders.NonceSource, secheaders.StrictDynamic, "https:", "a.example"}
			}),
			[]found{{"csp-ignored", secheaders.Info, "CSP.Script"}},
		},
		"script hosts that serve everything": {
			strict(func(p *secheaders.Policy) {
				p.Script = []secheaders.Source{"https://unpkg.com", "https://unpkg.com/react@19.0.0/index.js", "https://*.jsdelivr.net"}
			}),
			[]found{{"csp-bypass", secheaders.Medium, "CSP.Script"}, {"csp-bypass", secheaders.Medium, "CSP.Script"}},
		},
		"hashes for attributes without a hash": {
			strict(func(p *secheaders.Policy) { p.Script = []secheaders.Source{secheaders.UnsafeHashes} }),
			[]found{{"csp-unsafe-hashes", secheaders.Info, "CSP.Script"}},
		},
		"plain HTTP": {
			strict(func(p *secheaders.Policy) { p.Img = []secheaders.Source{"http://a.example"} }),
			[]found{{"csp-plain-http", secheaders.Medium, "CSP.Img"}},
		},
		"nearly no policy": {
			secheaders.Config{CSP: &secheaders.Policy{Img: []secheaders.Source{secheaders.Self}, ReportURI: []string{"/r"}}},
			[]found{
				{"csp-script-open", secheaders.High, "CSP.Default"},
				{"csp-object", secheaders.High, "CSP.Default"},
				{"csp-base-uri", secheaders.Medium, "CSP.BaseURI"},
				{"csp-frame-ancestors", secheaders.Medium, "CSP.FrameAncestors"},
				{"csp-form-action", secheaders.Low, "CSP.FormAction"},
				{"csp-report-uri", secheaders.Info, "CSP.ReportURI"},
			},
		},
		"a nonce without base-uri": {
			strict(func(p *secheaders.Policy) { p.Script, p.BaseURI = []secheaders.Source{secheaders.NonceSource}, nil }),
			[]found{{"csp-base-uri", secheaders.High, "CSP.BaseURI"}},
		},
		"sandbox": {
			strict(func(p *secheaders.Policy) {
				p.Sandbox = []secheaders.SandboxToken{secheaders.AllowScripts, secheaders.AllowSameOrigin}
			}),
			[]found{{"csp-sandbox-escape", secheaders.Medium, "CSP.Sandbox"}},
		},
		"reports that nobody hears": {
			secheaders.Config{
				CSPReportOnly:  &secheaders.Policy{Default: []secheaders.Source{secheaders.None}},
				COOPReportOnly: secheaders.COOPSameOrigin, COEPReportOnly: secheaders.COEPRequireCORP,
				IntegrityPolicy: &secheaders.Integrity{BlockedDestinations: []string{"script"}, ReportOnly: true},
			},
			[]found{
				{"report-only-unheard", secheaders.Low, "CSPReportOnly"},
				{"report-only-unheard", secheaders.Low, "COOPReportOnly"},
				{"report-only-unheard", secheaders.Low, "COEPReportOnly"},
				{"report-only-unheard", secheaders.Low, "IntegrityPolicy"},
			},
		},
		"HSTS": {
			secheaders.Config{HSTS: &secheaders.HSTS{MaxAge: 300e9, ExcludeSubDomains: true}},
			[]found{{"hsts-short", secheaders.Medium, "HSTS.MaxAge"}, {"hsts-subdomains", secheaders.Low, "HSTS.ExcludeSubDomains"}},
		},
		"HSTS revoked": {
			secheaders.Config{HSTS: &secheaders.HSTS{Revoke: true}},
			[]found{{"hsts-revoked", secheaders.High, "HSTS.Revoke"}},
		},
		"isolation": {
			secheaders.Config{COOP: secheaders.COOPUnsafeNone, COEP: secheaders.COEPRequireCORP, CORP: secheaders.CORPCrossOrigin},
			[]found{{"coop-none", secheaders.Medium, "COOP"}, {"coep-alone", secheaders.Info, "COEP"}, {"corp-cross-origin", secheaders.Low, "CORP"}},
		},
		"referrer": {
			secheaders.Config{Referrer: []secheaders.ReferrerPolicy{secheaders.NoReferrer, secheaders.UnsafeURL}},
			[]found{{"referrer-leak", secheaders.High, "Referrer"}},
		},
		"permissions": {
			secheaders.Config{Permissions: secheaders.Permissions{secheaders.Camera: {"*"}, secheaders.Fullscreen: {"*"}, "shiny-new-thing": nil}},
			[]found{{"permissions-open", secheaders.Medium, `Permissions["camera"]`}, {"permissions-unknown", secheaders.Low, `Permissions["shiny-new-thing"]`}},
		},
		"the rest": {
			secheaders.Config{
				InsecureOmit: []string{"Content-Security-Policy"}, ClearSiteData: []secheaders.SiteData{secheaders.ClearCache},
				Extra: http.Header{"Expect-CT": {"max-age=1"}},
			},
			[]found{{"omitted", secheaders.Medium, "InsecureOmit[0]"}, {"clear-site-data", secheaders.Info, "ClearSiteData"}, {"extra-outdated", secheaders.Low, `Extra["Expect-CT"]`}},
		},
	} {
		_, err := secheaders.New(tc.config)
		require.NoError(t, err, "%s: Lint is for what New accepts", name)
		var got []found
		for _, f := range secheaders.Lint(tc.config) {
			require.NotEmpty(t, f.Text)
			got = append(got, found{f.ID, f.Severity, f.Field})
		}
		assert.Equal(t, tc.want, got, name)
	}
}

func TestLintOfABrokenConfigDoesNotPanic(t *testing.T) {
	secheaders.Lint(secheaders.Config{Referrer: []secheaders.ReferrerPolicy{}, CSP: &secheaders.Policy{Default: []secheaders.Source{"", ":", "'"}}})
}
