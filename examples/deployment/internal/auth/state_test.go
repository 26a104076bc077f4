package auth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/keys"
)

func TestACallbackNeedsTheStateOfThisVeryLogin(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	back := parse(t, b.allow(b.initiate("google").AuthURL, "ada"))
	q := back.Query()
	state, code := q.Get("state"), url.QueryEscape(q.Get("code"))
	other := w.browser()
	otherState := parse(t, other.initiate("google").AuthURL).Query().Get("state")
	for name, query := range map[string]string{
		"no state":        "code=" + code,
		"empty state":     "state=&code=" + code,
		"foreign state":   "state=" + otherState + "&code=" + code,
		"longer state":    "state=" + state + "A&code=" + code,
		"shorter state":   "state=" + state[:42] + "&code=" + code,
		"two states":      "state=" + state + "&state=" + state + "&code=" + code,
		"malformed query": "state=" + state + "&code=" + code + "&x=%zz",
		"no query at all": "",
	} {
		t.Run(name, func(t *testing.T) {
			b.refused(b.get("/auth/google/callback?"+query), "invalid_request")
		})
	}
	b.refused(b.get("/auth/microsoft/callback?"+back.RawQuery), "invalid_request") // mix-up: another provider's route
	assert.NotEmpty(t, b.get(back.String()).location(t).Query().Get("code"), "the login itself goes on")
}

// Login CSRF: the victim must not end up in the attacker's account.
func TestAnAnswerForAnAttackersLoginDoesNothingInAnotherBrowser(t *testing.T) {
	for _, delivery := range []string{"code", "cookie", "query"} {
		for _, frontend := range []string{"", "http://127.0.0.1:1"} { // another origin, the same site
			w := newWorld(t, setup{delivery: delivery, frontend: frontend})
			attacker, victim := w.browser(), w.browser()
			link := attacker.initiate("google").AuthURL
			back := attacker.allow(link, "alan")
			victim.refused(victim.get(back), "invalid_request")

			mine := victim.allow(victim.initiate("google").AuthURL, "ada") // one of their own going on
			victim.refused(victim.get(back), "invalid_request")
			assert.Empty(t, victim.get(mine).location(t).Query().Get("error"), "which the attack has not ended")
		}
	}
}

// The link from a frontend of another origin can be given away. Two who open it
// must not share state, nonce or PKCE verifier.
func TestALinkToLoginBeginsAnotherLoginInEveryBrowser(t *testing.T) {
	for _, delivery := range []string{"code", "cookie"} {
		w := newWorld(t, setup{delivery: delivery, frontend: "http://127.0.0.1:1"})
		attacker, victim := w.browser(), w.browser()
		link := attacker.initiate("google").AuthURL
		one, two := attacker.get(link).location(t), victim.get(link).location(t)
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			assert.NotEqual(t, one.Query().Get(name), two.Query().Get(name), name)
		}
		back := attacker.allow(one.String(), "alan")
		victim.refused(victim.get(back), "invalid_request")
		// Even with the victim's state put in: the provider's code is not for this verifier.
		q := parse(t, back).Query()
		q.Set("state", two.Query().Get("state"))
		victim.refused(victim.get("/auth/google/callback?"+q.Encode()), "login_failed")
	}
}

func TestALinkToLoginIsOurOwnUnchangedAndFresh(t *testing.T) {
	w := newWorld(t, setup{frontend: "https://app.example.net"})
	b := w.browser()
	link := b.initiate("google").AuthURL
	sealed := parse(t, link).Query().Get("request")
	last := byte('A')
	if sealed[len(sealed)-1] == last {
		last = 'B'
	}
	for name, target := range map[string]string{
		"changed":                 "/auth/google/login?request=" + sealed[:len(sealed)-1] + string(last),
		"cut":                     "/auth/google/login?request=" + sealed[:len(sealed)/2],
		"not base64url":           "/auth/google/login?request=%2b%2b",
		"padded":                  "/auth/google/login?request=" + sealed + "=",
		"of another provider":     "/auth/microsoft/login?request=" + sealed,
		"of an unknown provider":  "/auth/facebook/login?request=" + sealed,
		"huge":                    "/auth/google/login?request=" + strings.Repeat("A", 10_000),
		"a cookie of a login":     "/auth/google/login?request=" + func() string { b.get(link); return b.cookie("login-google") }(),
		"shorter than a GCM text": "/auth/google/login?request=AAAA",
	} {
		t.Run(name, func(t *testing.T) {
			a := b.get(target)
			b.refused(a, "invalid_request")
			assert.Empty(t, a.Cookies())
		})
	}
	w.wait(2*time.Minute + time.Second)
	b.refused(b.get(link), "invalid_request")
}

func TestAFinishedLoginCannotBeReplayed(t *testing.T) {
	w := newWorld(t, setup{delivery: "cookie"})
	b := w.browser()
	back := b.allow(b.initiate("google").AuthURL, "ada")
	kept := b.cookie("login-google")
	a := b.get(back)
	assert.Equal(t, "/threads/7", a.location(t).Path)
	assert.Empty(t, b.cookie("login-google"), "the cookie is gone with the first answer")
	b.refused(b.get(back), "invalid_request")

	b.setCookie("login-google", kept) // by hand
	b.refused(b.get(back), "login_failed")
}

func TestALoginExpires(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	back := b.allow(b.initiate("google").AuthURL, "ada")
	w.wait(10*time.Minute + time.Second)
	b.refused(b.get(back), "invalid_request")
}

func TestTheCookieOfALoginCannotBeMadeOrChanged(t *testing.T) {
	w := newWorld(t, setup{frontend: "https://app.example.net"})
	b := w.browser()
	begun := b.initiate("google")
	back := b.allow(begun.AuthURL, "ada")
	good := b.cookie("login-google")

	foreign := newWorld(t, setup{keys: keys.New(oldSecret)}).browser()
	foreign.initiate("google")
	m := w.browser()
	m.allow(m.initiate("microsoft").AuthURL, "ada")

	bad := map[string]string{
		"empty": "", "cut": good[:len(good)-1], "sealed with another secret": foreign.cookie("login-google"),
		"another provider's": m.cookie("login-microsoft"),
		"a login request":    parse(t, begun.AuthURL).Query().Get("request"),
	}
	for _, i := range []int{0, 15, 16, 40, len(good) / 2, len(good) - 2} { // nonce, text, tag
		bad["byte changed"] = good[:i] + string("AB"[btoi(good[i] == 'A')]) + good[i+1:]
		for name, value := range bad {
			b.setCookie("login-google", value)
			a := b.get(back)
			b.refused(a, "invalid_request")
			require.Equal(t, http.StatusSeeOther, a.StatusCode, name)
		}
	}
	b.setCookie("login-google", good)
	assert.NotEmpty(t, b.get(back).location(t).Query().Get("code"))
}

func TestTwoCodesAreNoAnswer(t *testing.T) {
	b := newWorld(t, setup{}).browser()
	b.refused(b.get(b.allow(b.initiate("google").AuthURL, "ada")+"&code=another-one"), "login_failed")
}

func TestASealHasOneSpelling(t *testing.T) {
	w := newWorld(t, setup{frontend: "https://app.example.net"})
	b := w.browser()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for range 3 {
		sealed := parse(t, b.initiate("google").AuthURL).Query().Get("request")
		i := strings.IndexByte(alphabet, sealed[len(sealed)-1])
		if len(sealed)%4 != 0 { // the last character has bits that count for nothing
			b.refused(b.get("/auth/google/login?request="+sealed[:len(sealed)-1]+string(alphabet[i^1])), "invalid_request")
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestALoginBegunBeforeTheSecretWasReplacedGoesOn(t *testing.T) {
	// Both worlds have the same origin's cookies only by hand: what counts is the seal.
	before := newWorld(t, setup{keys: keys.New(oldSecret)}).browser()
	before.initiate("google")
	sealed := before.cookie("login-google")

	w := newWorld(t, setup{keys: keys.New(secret, oldSecret)})
	b := w.browser()
	b.setCookie("login-google", sealed)
	// The seal opens, so the wrong state is what is left to complain about.
	b.get("/auth/google/callback?state=x&code=y")
	assert.Contains(t, w.log.String(), "state is not this browser's")

	gone := newWorld(t, setup{keys: keys.New(secret)})
	g := gone.browser()
	g.setCookie("login-google", sealed)
	g.get("/auth/google/callback?state=x&code=y")
	assert.Contains(t, gone.log.String(), "not sealed by us")
}

func TestAProvidersErrorEndsTheLoginAndItsWordsGoNowhere(t *testing.T) {
	w := newWorld(t, setup{})
	for provider, want := range map[string]string{
		"":                                     "access_denied", // the Cancel button
		"access_denied":                        "access_denied",
		"server_error":                         "login_failed",
		"<script>alert(1)</script>":            "login_failed",
		"login_required&error=x":               "login_failed",
		"access_denied_too_long_" + ada.tenant: "login_failed",
	} {
		b := w.browser()
		begun := b.initiate("google")
		var a answer
		if provider == "" {
			a = b.get(b.allow(begun.AuthURL, ""))
		} else {
			state := parse(t, begun.AuthURL).Query().Get("state")
			a = b.get("/auth/google/callback?" + url.Values{
				"state": {state}, "error": {provider}, "error_description": {"Something was <b>wrong</b> at the provider"},
			}.Encode())
		}
		b.refused(a, want)
		assert.Equal(t, begun.State, a.location(t).Query().Get("state"), "the frontend knows which login failed")
		assert.Empty(t, b.cookie("login-google"))
		assert.NotContains(t, w.log.String()+a.Header.Get("Location"), "script")
		assert.NotContains(t, w.log.String()+a.Header.Get("Location"), "wrong at the provider")
	}
}

func TestAnAnswerWithoutOneCodeOrOfAnotherIssuerFails(t *testing.T) {
	w := newWorld(t, setup{})
	for name, query := range map[string]string{
		"no code": "", "empty": "&code=", "two": "&code=aaaaaaaaaaaaaaaaaaa&code=bbbbbbbbbbbbbbbbbbbbbbb", "huge": "&code=" + strings.Repeat("x", 5000),
		"unknown":                   "&code=never-given-by-the-provider",
		"another issuer (RFC 9207)": "&code=never-given-by-the-provider&iss=https%3A%2F%2Fattacker.example",
	} {
		t.Run(name, func(t *testing.T) {
			b := w.browser()
			state := parse(t, b.initiate("google").AuthURL).Query().Get("state")
			b.refused(b.get("/auth/google/callback?state="+state+query), "login_failed")
		})
	}
}
