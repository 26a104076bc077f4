package devidp_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/devidp"
	"github.com/gatehouse-go/gatehouse/secheaders"
)

func serve(t *testing.T) (idp *devidp.IDP, origin string) {
	t.Helper()
	var h http.Handler
	headers, err := secheaders.New(secheaders.Config{})
	require.NoError(t, err)
	server := httptest.NewServer(headers.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) })))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	idp = devidp.New(u)
	h = idp
	return idp, server.URL
}

type answer struct {
	*http.Response
	body string
}

func send(t *testing.T, method, target string, form url.Values, edit ...func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, e := range edit {
		e(r)
	}
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res, string(body)}
}

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B

func request(origin, provider string) url.Values {
	return url.Values{
		"client_id": {devidp.ClientID}, "redirect_uri": {origin + "/auth/" + provider + "/callback"}, "response_type": {"code"},
		"scope": {"openid email"}, "state": {"the-state"}, "nonce": {"the-nonce"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
}

func TestADeveloperLogsInAsTheRealLibrariesDoIt(t *testing.T) {
	idp, origin := serve(t)
	for _, p := range idp.Providers() {
		for name, client := range map[string]*http.Client{"over the network": http.DefaultClient, "in process": p.HTTPClient} {
			t.Run(p.Name+" "+name, func(t *testing.T) {
				ctx := oidc.ClientContext(t.Context(), client)
				if p.Tenant != "" {
					ctx = oidc.InsecureIssuerURLContext(ctx, strings.Replace(p.Issuer, "common", "{tenantid}", 1))
				}
				found, err := oidc.NewProvider(ctx, p.Issuer)
				require.NoError(t, err)
				config := oauth2.Config{
					ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(),
					RedirectURL: origin + "/auth/" + p.Name + "/callback", Scopes: []string{"openid"},
				}
				page := config.AuthCodeURL("the-state", oidc.Nonce("the-nonce"), oauth2.S256ChallengeOption(verifier))
				to, err := send(t, http.MethodPost, page, url.Values{"user": {"alan"}}).Location()
				require.NoError(t, err)
				assert.Equal(t, "the-state", to.Query().Get("state"))
				tokens, err := config.Exchange(ctx, to.Query().Get("code"), oauth2.VerifierOption(verifier))
				require.NoError(t, err)
				id, err := found.Verifier(&oidc.Config{ClientID: p.ClientID, SkipIssuerCheck: p.Tenant != ""}).Verify(ctx, tokens.Extra("id_token").(string))
				require.NoError(t, err)
				assert.Equal(t, "the-nonce", id.Nonce)
				assert.Equal(t, p.Name+"-alan", id.Subject)
				var claims struct{ Name, Email, Tid string }
				require.NoError(t, id.Claims(&claims))
				assert.Equal(t, "Alan Turing", claims.Name)
				assert.Equal(t, "alan@example.com", claims.Email)
				if p.Tenant != "" {
					assert.Equal(t, strings.Replace(p.Issuer, "common", claims.Tid, 1), id.Issuer)
				}
				_, err = config.Exchange(ctx, to.Query().Get("code"), oauth2.VerifierOption(verifier))
				assert.ErrorContains(t, err, "invalid_grant", "a code works once")
			})
		}
	}
}

// Behind a load balancer each step of a login may reach another process.
func TestAnotherReplicaTakesTheCode(t *testing.T) {
	_, origin := serve(t)
	q := request(origin, "google")
	to, err := send(t, http.MethodPost, origin+"/dev/idp/google/authorize?"+q.Encode(), url.Values{"user": {"ada"}}).Location()
	require.NoError(t, err)
	u, err := url.Parse(origin)
	require.NoError(t, err)
	other := httptest.NewServer(devidp.New(u))
	defer other.Close()
	a := send(t, http.MethodPost, other.URL+"/dev/idp/google/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {q.Get("redirect_uri")},
		"code_verifier": {verifier}, "client_id": {devidp.ClientID}, "client_secret": {devidp.ClientSecret},
	})
	assert.Equal(t, http.StatusOK, a.StatusCode, a.body)
}

func TestThePageNeedsNoScriptAndNoInlineStyle(t *testing.T) {
	_, origin := serve(t)
	q := request(origin, "google")
	q.Set("state", `"><script>alert(1)</script>`)
	a := send(t, http.MethodGet, origin+"/dev/idp/google/authorize?"+q.Encode(), nil)
	require.Equal(t, http.StatusOK, a.StatusCode)
	assert.Equal(t, []string{"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"}, a.Header.Values("Content-Security-Policy"))
	for _, bad := range []string{"<script", "<style", "style=", "onclick", "javascript:"} {
		assert.NotContains(t, a.body, bad)
	}
	assert.Equal(t, 3, strings.Count(a.body, "<form method=\"post\""), "two users and a way out")
	assert.Contains(t, a.body, "Ada Lovelace")
	assert.Contains(t, a.body, `<html lang="en">`)
	css := send(t, http.MethodGet, origin+"/dev/idp/style.css", nil)
	assert.Equal(t, "text/css; charset=utf-8", css.Header.Get("Content-Type"))
}

func TestARequestThatIsNotTheAppsIsToldToTheUserAndSentNowhere(t *testing.T) {
	_, origin := serve(t)
	for name, edit := range map[string]func(url.Values){
		"another client":       func(q url.Values) { q.Set("client_id", "other") },
		"another redirect URI": func(q url.Values) { q.Set("redirect_uri", "https://attacker.example/auth/google/callback") },
		"a longer one":         func(q url.Values) { q.Set("redirect_uri", q.Get("redirect_uri")+"/x") },
		"microsoft's": func(q url.Values) {
			q.Set("redirect_uri", strings.Replace(q.Get("redirect_uri"), "google", "microsoft", 1))
		},
		"implicit flow": func(q url.Values) { q.Set("response_type", "id_token") },
		"no openid":     func(q url.Values) { q.Set("scope", "email") },
		"no state":      func(q url.Values) { q.Del("state") },
		"no PKCE":       func(q url.Values) { q.Del("code_challenge") },
		"PKCE plain":    func(q url.Values) { q.Set("code_challenge_method", "plain") },
	} {
		t.Run(name, func(t *testing.T) {
			q := request(origin, "google")
			edit(q)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				a := send(t, method, origin+"/dev/idp/google/authorize?"+q.Encode(), url.Values{"user": {"ada"}})
				assert.Equal(t, http.StatusBadRequest, a.StatusCode)
				assert.Empty(t, a.Header.Get("Location"))
			}
		})
	}
	assert.Equal(t, http.StatusBadRequest, send(t, http.MethodGet, origin+"/dev/idp/facebook/authorize", nil).StatusCode)
}

func TestTheTokenEndpointRefusesAsTheRFCSays(t *testing.T) {
	_, origin := serve(t)
	good := func(provider string) url.Values {
		q := request(origin, provider)
		to, err := send(t, http.MethodPost, origin+"/dev/idp/"+provider+"/authorize?"+q.Encode(), url.Values{"user": {"ada"}}).Location()
		require.NoError(t, err)
		return url.Values{
			"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {q.Get("redirect_uri")},
			"code_verifier": {verifier}, "client_id": {devidp.ClientID}, "client_secret": {devidp.ClientSecret},
		}
	}
	for name, c := range map[string]struct {
		edit   func(url.Values)
		status int
		code   string
	}{
		"nothing wrong":        {func(url.Values) {}, 200, ""},
		"wrong secret":         {func(f url.Values) { f.Set("client_secret", "x") }, 401, "invalid_client"},
		"no client":            {func(f url.Values) { f.Del("client_id") }, 401, "invalid_client"},
		"wrong verifier":       {func(f url.Values) { f.Set("code_verifier", strings.Repeat("A", 43)) }, 400, "invalid_grant"},
		"no verifier":          {func(f url.Values) { f.Del("code_verifier") }, 400, "invalid_grant"},
		"another redirect URI": {func(f url.Values) { f.Set("redirect_uri", origin+"/x") }, 400, "invalid_grant"},
		"unknown code":         {func(f url.Values) { f.Set("code", "x") }, 400, "invalid_grant"},
		"another grant":        {func(f url.Values) { f.Set("grant_type", "password") }, 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			form := good("google")
			c.edit(form)
			a := send(t, http.MethodPost, origin+"/dev/idp/google/token", form)
			assert.Equal(t, c.status, a.StatusCode)
			var body map[string]any
			require.NoError(t, json.Unmarshal([]byte(a.body), &body))
			if c.code != "" {
				assert.Equal(t, map[string]any{"error": c.code}, body)
			}
		})
	}
	a := send(t, http.MethodPost, origin+"/dev/idp/microsoft/token", good("google"))
	assert.Equal(t, http.StatusBadRequest, a.StatusCode, "the other provider's code")

	form := good("google")
	form.Del("client_id")
	form.Del("client_secret")
	a = send(t, http.MethodPost, origin+"/dev/idp/google/token", form, func(r *http.Request) { r.SetBasicAuth(devidp.ClientID, devidp.ClientSecret) })
	assert.Equal(t, http.StatusOK, a.StatusCode, "client_secret_basic")
}
