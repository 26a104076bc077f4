package auth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var ada = struct{ name, email, googleSub, tenant string }{
	"Ada Lovelace", "ada@example.com", "google-ada", "11111111-1111-4111-8111-111111111111",
}

func TestACodeIsExchangedForATokenWithBothProvidersOnOneOriginAndTwo(t *testing.T) {
	for _, frontend := range []string{"", "https://app.example.net"} {
		for _, https := range []bool{false, true} {
			for _, provider := range []string{"google", "microsoft"} {
				name := provider + map[bool]string{true: " https", false: " http"}[https] + " " + frontend
				t.Run(name, func(t *testing.T) {
					w := newWorld(t, setup{frontend: frontend, https: https})
					b := w.browser()
					begun := b.initiate(provider)
					own := strings.HasPrefix(begun.AuthURL, w.origin+"/auth/"+provider+"/login?request=")
					assert.Equal(t, frontend != "", own, begun.AuthURL)

					back := b.allow(begun.AuthURL, "ada")
					assert.True(t, strings.HasPrefix(back, w.origin+"/auth/"+provider+"/callback?"), back)
					to := b.get(back).location(t)
					assert.Equal(t, w.front+"/auth/callback", to.Scheme+"://"+to.Host+to.Path)
					assert.Equal(t, begun.State, to.Query().Get("state"), "the frontend's own state comes back")
					assert.Len(t, to.Query(), 2, "code and state, no more")
					assert.Len(t, to.Query().Get("code"), 43, "256 bits")

					a, token := b.exchange(to.Query().Get("code"), verifier)
					require.Equal(t, http.StatusOK, a.StatusCode, a.body)
					assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
					assert.Equal(t, "Bearer", token.TokenType)
					assert.Equal(t, 1800, token.ExpiresIn)
					assert.Equal(t, "/threads/7?tab=2#end", token.ReturnURL)

					me := b.me(token.AccessToken)
					require.Equal(t, http.StatusOK, me.StatusCode, me.body)
					var u struct{ Issuer, Subject, Email, Name string }
					me.json(t, &u)
					assert.Equal(t, ada.name, u.Name)
					assert.Equal(t, ada.email, u.Email)
					if provider == "google" {
						assert.Equal(t, w.origin+"/dev/idp/google", u.Issuer)
					} else {
						assert.Equal(t, w.origin+"/dev/idp/microsoft/"+ada.tenant+"/v2.0", u.Issuer, "the tenant is part of the key")
					}
					assert.Contains(t, w.log.String(), `"user.id":"user-1"`)
				})
			}
		}
	}
}

func TestTheCookieOfALoginIsEncryptedFirstPartyAndShortLived(t *testing.T) {
	for _, https := range []bool{false, true} {
		w := newWorld(t, setup{https: https})
		a := w.browser().send(http.MethodPost, "/auth/google/initiate", map[string]string{"challenge": challengeOf(verifier)})
		require.Len(t, a.Cookies(), 1)
		c := a.Cookies()[0]
		assert.Equal(t, map[bool]string{true: "__Host-login-google", false: "login-google"}[https], c.Name)
		assert.Equal(t, https, c.Secure)
		assert.True(t, c.HttpOnly)
		assert.Equal(t, http.SameSiteLaxMode, c.SameSite)
		assert.Equal(t, 600, c.MaxAge)
		assert.Equal(t, "/", c.Path)
		assert.Empty(t, c.Domain)
		var s begun
		a.json(t, &s)
		assert.NotContains(t, c.Value, s.State)
	}
}

func TestAFrontendOfAnotherOriginGetsNoCookieFromInitiate(t *testing.T) {
	w := newWorld(t, setup{frontend: "https://app.example.net"})
	a := w.browser().send(http.MethodPost, "/auth/google/initiate", map[string]string{"challenge": challengeOf(verifier)})
	assert.Empty(t, a.Cookies(), "it would be a third party's")
}

func TestTheAuthorizationRequestHasPKCEStateAndNonceAndOurOwnRedirectURI(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	a := b.send(http.MethodPost, "/auth/google/initiate", map[string]string{"challenge": challengeOf(verifier)},
		"X-Forwarded-Host", "attacker.example", "X-Forwarded-Proto", "gopher")
	var s begun
	a.json(t, &s)
	q := parse(t, s.AuthURL).Query()
	b.secret(q.Get("state"), q.Get("nonce"))
	assert.Equal(t, w.origin+"/auth/google/callback", q.Get("redirect_uri"))
	assert.Equal(t, "S256", q.Get("code_challenge_method"))
	assert.NotEqual(t, challengeOf(verifier), q.Get("code_challenge"), "the frontend's challenge is for us, not for the provider")
	assert.Len(t, q.Get("code_challenge"), 43)
	assert.Len(t, q.Get("nonce"), 43)
	assert.Len(t, q.Get("state"), 43)
	assert.Equal(t, s.State, q.Get("state"))
	assert.Equal(t, "code", q.Get("response_type"))
	assert.Equal(t, "openid email profile", q.Get("scope"))
	assert.Equal(t, "select_account", q.Get("prompt"))
	assert.False(t, q.Has("client_secret"))
}

func TestACookieIsDeliveredAsACookieThatNoScriptReads(t *testing.T) {
	for _, provider := range []string{"google", "microsoft"} {
		w := newWorld(t, setup{delivery: "cookie", https: true})
		b := w.browser()
		begin := b.get("/auth/" + provider + "/login?return_url=/threads/7").location(t)
		a := b.get(b.allow(begin.String(), "ada"))
		assert.Equal(t, w.front+"/threads/7", a.location(t).String())
		var session *http.Cookie
		for _, c := range a.Cookies() {
			if c.Name == "__Host-session" {
				session = c
			}
		}
		require.NotNil(t, session)
		assert.True(t, session.HttpOnly && session.Secure && session.Path == "/" && session.Domain == "")
		assert.Equal(t, http.SameSiteStrictMode, session.SameSite)
		assert.Equal(t, 1800, session.MaxAge)

		assert.Equal(t, http.StatusOK, b.get("/api/me").StatusCode)
		renewed := b.send(http.MethodPost, "/auth/refresh", nil)
		assert.JSONEq(t, `{"expires_in":1800}`, renewed.body, "the token is in the cookie alone")
		assert.Len(t, renewed.Cookies(), 1)
		assert.Equal(t, http.StatusNoContent, b.send(http.MethodPost, "/auth/logout", nil).StatusCode)
		assert.Equal(t, http.StatusUnauthorized, b.get("/api/me").StatusCode)
	}
}

func TestATokenIsDeliveredInTheQueryToADevelopersMachine(t *testing.T) {
	for _, provider := range []string{"google", "microsoft"} {
		w := newWorld(t, setup{delivery: "query"})
		b := w.browser()
		to := b.get(b.allow(b.initiate(provider).AuthURL, "ada")).location(t)
		assert.Equal(t, "/auth/callback", to.Path)
		assert.Equal(t, "/threads/7?tab=2#end", to.Query().Get("return_url"))
		assert.Equal(t, http.StatusOK, b.me(to.Query().Get("token")).StatusCode)
	}
}

func TestTheAliasUnderAPIWorks(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	a := b.get("/api/auth/providers")
	assert.JSONEq(t, `{"delivery":"code","providers":[{"name":"google","label":"Google"},{"name":"microsoft","label":"Microsoft"}]}`, a.body)
	a = b.send(http.MethodPost, "/api/auth/google/initiate", map[string]string{"challenge": challengeOf(verifier)})
	var s begun
	a.json(t, &s)
	back := b.allow(s.AuthURL, "alan")
	code := b.get(strings.Replace(back, "/auth/", "/api/auth/", 1)).location(t).Query().Get("code")
	a = b.send(http.MethodPost, "/api/auth/token", map[string]string{"code": code, "verifier": verifier})
	assert.Equal(t, http.StatusOK, a.StatusCode, a.body)
}

func TestTheSameUserIsFoundAgainByIssuerAndSubjectAndNeverByEmail(t *testing.T) {
	w := newWorld(t, setup{})
	w.browser().token("google", "ada")
	w.browser().token("google", "ada")
	w.browser().token("microsoft", "ada") // the same address
	assert.Len(t, w.store.users, 2)
}

func TestInitiateRefusesWhatItCannotUse(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	good := challengeOf(verifier)
	for name, c := range map[string]struct {
		path   string
		body   any
		header []string
		status int
	}{
		"no challenge":            {"google", map[string]string{}, nil, 400},
		"challenge too short":     {"google", map[string]string{"challenge": good[:42]}, nil, 400},
		"challenge not base64url": {"google", map[string]string{"challenge": good[:42] + "+"}, nil, 400},
		"challenge with line end": {"google", map[string]string{"challenge": good[:20] + "\n" + good[20:]}, nil, 400},
		"not strings":             {"google", map[string]int{"challenge": 1}, nil, 400},
		"array":                   {"google", []string{}, nil, 400},
		"too long":                {"google", map[string]string{"challenge": strings.Repeat("x", 9<<10)}, nil, 413},
		"not JSON by its type":    {"google", map[string]string{"challenge": good}, []string{"Content-Type", "text/plain"}, 415},
		"unknown provider":        {"facebook", map[string]string{"challenge": good}, nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			var a answer
			if c.header != nil { // what a form of another site can send
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.origin+"/auth/google/initiate", strings.NewReader(`{"challenge":"`+good+`"}`))
				require.NoError(t, err)
				r.Header.Set(c.header[0], c.header[1])
				a = b.do(r)
			} else {
				a = b.send(http.MethodPost, "/auth/"+c.path+"/initiate", c.body)
			}
			assert.Equal(t, c.status, a.StatusCode, a.body)
			assert.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
			assert.Empty(t, a.Cookies())
		})
	}
	assert.Equal(t, http.StatusNotFound, b.get("/auth/facebook/callback?state=x&code=y").StatusCode)
	assert.Equal(t, http.StatusBadRequest, b.get("/auth/google/login").StatusCode, "without a challenge nobody could exchange the code")
}

// Each of these has led some browser or router away from the site.
var badReturns = []string{
	"//attacker.example", "///attacker.example", "////attacker.example", "/\\attacker.example", "\\\\attacker.example",
	"\\/attacker.example", "/\t/attacker.example", "/\n/attacker.example", "/\r\n/attacker.example", "\t//attacker.example",
	" //attacker.example", "https://attacker.example", "https:attacker.example", "https:/attacker.example", "HTTPS://attacker.example",
	"javascript:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "attacker.example", "@attacker.example", "?next=//attacker.example",
	"#//attacker.example", "/..//attacker.example", "/.//attacker.example", "/a/..//attacker.example", "/%2f/attacker.example", "/%2f%2fattacker.example",
	"/%5cattacker.example", `/a?b=\c`, `/a#\c`, "/a%5c..", "/a\x00b", "/a\x7fb", "/a b", "/é", "/／attacker.example", "/%zz", "/a\r\nSet-Cookie: x=y", "/x\u2028",
	"/" + strings.Repeat("a", 1100),
}

func TestReturnURLIsAPathOfTheFrontendAndNothingElse(t *testing.T) {
	w := newWorld(t, setup{})
	c := newWorld(t, setup{delivery: "cookie"})
	for _, bad := range badReturns {
		a := w.browser().send(http.MethodPost, "/auth/google/initiate", map[string]string{"challenge": challengeOf(verifier), "return_url": bad})
		assert.Equal(t, http.StatusBadRequest, a.StatusCode, "%q", bad)
		assert.NotContains(t, a.body, "attacker", "answers never echo")
		a = c.browser().get("/auth/google/login?return_url=" + url.QueryEscape(bad))
		assert.Equal(t, http.StatusBadRequest, a.StatusCode, "%q", bad)
	}
	for _, good := range []string{"", "/", "/threads", "/threads/7?tab=2#end", "/#/threads/7", "/a%20b", "/s?u=https://example.org//x", "/@me", "/a:b", "/releases/1.2.3"} {
		a := w.browser().send(http.MethodPost, "/auth/google/initiate", map[string]string{"challenge": challengeOf(verifier), "return_url": good})
		assert.Equal(t, http.StatusOK, a.StatusCode, "%q", good)
		b := c.browser()
		begin := b.get("/auth/google/login?return_url=" + url.QueryEscape(good)).location(t)
		to := b.get(b.allow(begin.String(), "ada")).Header.Get("Location")
		if good == "" {
			good = "/"
		}
		assert.Equal(t, c.front+good, to)
	}
}
