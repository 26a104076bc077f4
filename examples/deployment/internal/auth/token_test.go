package auth_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/keys"
)

func TestACodeWorksOnce(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	code := b.code("google", "ada")
	var ok, refused atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			switch a, _ := b.exchange(code, verifier); a.StatusCode {
			case http.StatusOK:
				ok.Add(1)
			case http.StatusBadRequest:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, 1, ok.Load())
	assert.EqualValues(t, 15, refused.Load())
}

func TestACodeIsForAMinute(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	code := b.code("google", "ada")
	w.wait(59 * time.Second)
	a, _ := b.exchange(code, verifier)
	assert.Equal(t, http.StatusOK, a.StatusCode)
	code = b.code("google", "ada")
	w.wait(60 * time.Second)
	a, _ = b.exchange(code, verifier)
	assert.Equal(t, http.StatusBadRequest, a.StatusCode)
}

func TestACodeIsForTheOneWhoGaveTheChallenge(t *testing.T) {
	for name, v := range map[string]string{
		"another verifier":            strings.Repeat("A", 43),
		"none":                        "",
		"the challenge itself":        challengeOf(verifier),
		"a byte more":                 verifier + "A",
		"a byte less":                 verifier[:42],
		"other case":                  strings.ToUpper(verifier),
		"longer than RFC 7636 has it": strings.Repeat("A", 129),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			b := w.browser()
			code := b.code("google", "ada")
			a, _ := b.exchange(code, v)
			assert.Equal(t, http.StatusBadRequest, a.StatusCode)
			a, _ = b.exchange(code, verifier)
			assert.Equal(t, http.StatusBadRequest, a.StatusCode, "the attempt has spent the code")
		})
	}
}

func TestACodeThatWasNeverGivenIsRefusedLikeAnyOther(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	var bodies []string
	for _, code := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 4000)} {
		a, _ := b.exchange(code, verifier)
		assert.Equal(t, http.StatusBadRequest, a.StatusCode)
		assert.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
		bodies = append(bodies, a.body)
	}
	a, _ := b.exchange(b.code("google", "ada"), "wrong")
	for _, body := range bodies {
		assert.Equal(t, a.body, body, "the answer does not tell which")
	}
}

func TestTheStoreHoldsTheHashOfACodeOnly(t *testing.T) {
	w := newWorld(t, setup{})
	code := w.browser().code("google", "ada")
	require.Len(t, w.store.codes, 1)
	for hash, c := range w.store.codes {
		assert.Equal(t, sha256.Sum256([]byte(code)), hash)
		assert.NotContains(t, c.challenge, code)
		assert.NotContains(t, c.challenge, verifier)
	}
}

func TestCodesAreNotExchangedWhereTheDeliveryIsAnother(t *testing.T) {
	before := newWorld(t, setup{})
	b := before.browser()
	code := b.code("google", "ada")
	after := newWorld(t, setup{delivery: "cookie"})
	after.store.users, after.store.codes = before.store.users, before.store.codes // of yesterday's configuration
	a, _ := after.browser().exchange(code, verifier)
	assert.Equal(t, http.StatusBadRequest, a.StatusCode)
	a, _ = b.exchange(code, verifier)
	assert.Equal(t, http.StatusOK, a.StatusCode)
}

func TestAVerifierThatCouldBeGuessedIsRefusedThoughItsChallengeFits(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	for _, v := range []string{"", "short", strings.Repeat("A", 42), strings.Repeat("A", 129)} {
		a := b.send(http.MethodPost, "/auth/google/initiate", map[string]string{"challenge": challengeOf(v)})
		var s begun
		a.json(t, &s)
		code := b.get(b.allow(s.AuthURL, "ada")).location(t).Query().Get("code")
		a, _ = b.exchange(code, v)
		assert.Equal(t, http.StatusBadRequest, a.StatusCode, "RFC 7636, section 4.1: 43 to 128 characters")
	}
}

// forged is a token like ours with something changed, signed with any key.
type forged struct {
	header, claims map[string]any
	method         jwt.SigningMethod
	key            any
}

func (f forged) String() string {
	t := jwt.NewWithClaims(f.method, jwt.MapClaims(f.claims))
	maps.Copy(t.Header, f.header)
	for k, v := range f.header {
		if v == nil {
			delete(t.Header, k)
		}
	}
	s, err := t.SignedString(f.key)
	if err != nil {
		panic(err)
	}
	return s
}

func kidOf(key [32]byte) string {
	sum := sha256.Sum256(append([]byte("kid:"), key[:]...))
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

// genuine is a token as the service makes it, which a test then spoils.
func genuine(w *world) forged {
	key := w.keys.Derive("access-token")
	now := w.now().Unix()
	return forged{
		header: map[string]any{"kid": kidOf(key)},
		claims: map[string]any{
			"iss": w.origin, "aud": []string{w.origin}, "sub": "user-1", "epoch": 0,
			"iat": now, "nbf": now, "exp": now + 600, "auth_time": now,
		},
		method: jwt.SigningMethodHS256, key: key[:],
	}
}

func TestATokenIsBelievedOnlyAfterEveryCheck(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	b.token("google", "ada")
	require.Equal(t, http.StatusOK, b.me(genuine(w).String()).StatusCode, "nothing changed, nothing refused")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	now := time.Now().Unix()
	without := func(name string) func(*forged) { return func(f *forged) { delete(f.claims, name) } }
	with := func(name string, v any) func(*forged) { return func(f *forged) { f.claims[name] = v } }
	header := func(name string, v any) func(*forged) { return func(f *forged) { f.header[name] = v } }
	for name, spoil := range map[string]func(*forged){
		"no exp":              without("exp"),
		"no nbf":              without("nbf"),
		"no iat":              without("iat"),
		"no iss":              without("iss"),
		"no aud":              without("aud"),
		"no sub":              without("sub"),
		"no epoch":            without("epoch"),
		"no auth_time":        without("auth_time"),
		"null exp":            with("exp", nil),
		"empty sub":           with("sub", ""),
		"expired":             with("exp", now-10),
		"exp is a text":       with("exp", "never"),
		"exp beyond all time": with("exp", 1e300),
		"not yet":             with("nbf", now+60),
		"from the future":     with("iat", now+60),
		"another issuer":      with("iss", "https://attacker.example"),
		"another audience":    with("aud", []string{"https://attacker.example"}),
		"another epoch":       with("epoch", 1),
		"unknown user":        with("sub", "user-99"),
		"unknown kid":         header("kid", "AAAAAAAAAAA"),
		"no kid":              header("kid", nil),
		"kid is a number":     header("kid", 7),
		"kid is a path":       header("kid", "../../dev/null"),
		"critical extension":  header("crit", []string{"b64"}),
		"HS384 with our key":  func(f *forged) { f.method = jwt.SigningMethodHS384 },
		"HS512 with our key":  func(f *forged) { f.method = jwt.SigningMethodHS512 },
		"RS256":               func(f *forged) { f.method, f.key = jwt.SigningMethodRS256, rsaKey },
		"alg none":            func(f *forged) { f.method, f.key = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType },
		"alg None": func(f *forged) {
			f.method, f.key = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType
			f.header["alg"] = "None"
		},
		"an empty key":           func(f *forged) { f.key = []byte{} },
		"the secret itself":      func(f *forged) { f.key = secret },
		"the key of another use": func(f *forged) { k := w.keys.Derive("oauth-state"); f.key, f.header["kid"] = k[:], kidOf(k) },
		"another secret": func(f *forged) {
			k := keys.New(oldSecret).Derive("access-token")
			f.key, f.header["kid"] = k[:], kidOf(k)
		},
		"another secret, our kid": func(f *forged) { k := keys.New(oldSecret).Derive("access-token"); f.key = k[:] },
	} {
		t.Run(name, func(t *testing.T) {
			f := genuine(w)
			spoil(&f)
			token := f.String()
			w.secret(token)
			for _, a := range []answer{b.me(token), b.send(http.MethodPost, "/auth/refresh", nil, "Authorization", "Bearer "+token)} {
				assert.Equal(t, http.StatusUnauthorized, a.StatusCode)
				assert.Equal(t, `Bearer realm="api", error="invalid_token"`, a.Header.Get("WWW-Authenticate"))
				assert.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
			}
		})
	}
}

func TestATokenThatIsChangedAnywhereIsRefused(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	token := b.token("google", "ada")
	require.Equal(t, http.StatusOK, b.me(token).StatusCode)
	for i := range len(token) {
		changed := token[:i] + string("AB"[btoi(token[i] == 'A')]) + token[i+1:]
		require.Equal(t, http.StatusUnauthorized, b.me(changed).StatusCode, "byte %d", i)
	}
	for name, s := range map[string]string{
		"empty": "", "words": "let me in", "two parts": token[:strings.LastIndex(token, ".")], "four parts": token + ".x",
		"no signature": token[:strings.LastIndex(token, ".")+1], "padded": token + "=", "twice": token + "," + token,
		"longer than any of ours": strings.Repeat("A", 5000),
	} {
		assert.Equal(t, http.StatusUnauthorized, b.me(s).StatusCode, name)
	}
	// The last character of 43 has two bits that count for nothing: one spelling only.
	i := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", token[len(token)-1])
	alias := token[:len(token)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[i^1])
	assert.Equal(t, http.StatusUnauthorized, b.me(alias).StatusCode)
}

func TestATokenIsWhatTheRFCsSay(t *testing.T) {
	w := newWorld(t, setup{})
	p := strings.Split(w.browser().token("google", "ada"), ".")
	key := w.keys.Derive("access-token")
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(p[0] + "." + p[1]))
	assert.Equal(t, base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), p[2], "HMAC-SHA256 (RFC 7515, appendix A.1)")
	var header, claims map[string]any
	for i, v := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(p[i])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, v))
	}
	assert.Equal(t, map[string]any{"alg": "HS256", "typ": "JWT", "kid": kidOf(key)}, header)
	var names []string
	for name := range claims {
		names = append(names, name)
	}
	assert.ElementsMatch(t, []string{"iss", "aud", "sub", "iat", "nbf", "exp", "epoch", "auth_time"}, names, "these and nothing more: no name, no address")
	assert.EqualValues(t, 1800, claims["exp"].(float64)-claims["iat"].(float64))
}

func TestATokenExpires(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	token := b.token("google", "ada")
	w.wait(29 * time.Minute)
	assert.Equal(t, http.StatusOK, b.me(token).StatusCode)
	w.wait(time.Minute + 6*time.Second)
	assert.Equal(t, http.StatusUnauthorized, b.me(token).StatusCode)
	a := b.send(http.MethodPost, "/auth/refresh", nil, "Authorization", "Bearer "+token)
	assert.Equal(t, http.StatusUnauthorized, a.StatusCode, "too late to renew")
}

func TestATokenIsRenewedForHalfADayAndNotForEver(t *testing.T) {
	for _, delivery := range []string{"code", "cookie"} {
		w := newWorld(t, setup{delivery: delivery, https: true})
		b := w.browser()
		token := ""
		if delivery == "code" {
			token = b.token("google", "ada")
		} else {
			b.get(b.allow(b.get("/auth/google/login").location(t).String(), "ada"))
		}
		renew := func() (int, int) {
			var header []string
			if delivery == "code" {
				header = []string{"Authorization", "Bearer " + token}
			}
			a := b.send(http.MethodPost, "/auth/refresh", nil, header...)
			var answer tokenAnswer
			a.json(t, &answer)
			token = answer.AccessToken
			b.secret(token)
			return a.StatusCode, answer.ExpiresIn
		}
		for i := range 28 { // 25 minutes each: until 11:40 after the login
			w.wait(25 * time.Minute)
			status, life := renew()
			require.Equal(t, http.StatusOK, status, i)
			if i < 27 {
				require.Equal(t, 1800, life)
			} else {
				assert.InDelta(t, 20*60, life, 5, "no longer than the session")
			}
		}
		w.wait(19 * time.Minute)
		status, life := renew()
		require.Equal(t, http.StatusOK, status)
		assert.InDelta(t, 60, life, 5)
		w.wait(61 * time.Second) // within the leeway for clocks
		status, _ = renew()
		assert.Equal(t, http.StatusUnauthorized, status)
	}
}

func TestAnOldKeyIsGoodWhileItIsListedAndSignsNothing(t *testing.T) {
	before := newWorld(t, setup{keys: keys.New(oldSecret)})
	token := before.browser().token("google", "ada")

	parts := func(ring *keys.Ring) (*world, *auth.Service) {
		w := newWorld(t, setup{keys: ring})
		s, err := auth.New(t.Context(), auth.Config{
			Backend: parse(t, before.origin), Frontend: parse(t, before.origin), Keys: ring, Store: before.store, Now: before.now,
		})
		require.NoError(t, err)
		return w, s
	}
	for _, c := range []struct {
		name   string
		ring   *keys.Ring
		status int
	}{
		{"listed as previous", keys.New(secret, oldSecret), 200},
		{"no longer listed", keys.New(secret), 401},
	} {
		_, s := parts(c.ring)
		mux := http.NewServeMux()
		s.Register(mux)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/refresh", http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		rec := &record{header: http.Header{}}
		mux.ServeHTTP(rec, r)
		assert.Equal(t, c.status, rec.status, c.name)
		if c.status == 200 {
			var a tokenAnswer
			require.NoError(t, json.Unmarshal(rec.body, &a))
			head, err := base64.RawURLEncoding.DecodeString(strings.Split(a.AccessToken, ".")[0])
			require.NoError(t, err)
			assert.Contains(t, string(head), kidOf(keys.New(secret).Derive("access-token")), "renewed with the new key")
		}
	}
}

type record struct {
	header http.Header
	status int
	body   []byte
}

func (r *record) Header() http.Header    { return r.header }
func (r *record) WriteHeader(status int) { r.status = status }
func (r *record) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = 200
	}
	r.body = append(r.body, b...)
	return len(b), nil
}

func TestLogoutEverywhereEndsEveryTokenAndEveryCodeAtOnce(t *testing.T) {
	w := newWorld(t, setup{})
	phone, laptop := w.browser(), w.browser()
	one, two := phone.token("google", "ada"), laptop.token("google", "ada")
	other := w.browser().token("google", "alan")
	code := phone.code("google", "ada") // on its way when the user logs out

	a := laptop.send(http.MethodPost, "/auth/logout", map[string]bool{"everywhere": true})
	assert.Equal(t, http.StatusUnauthorized, a.StatusCode, "whose tokens?")
	a = laptop.send(http.MethodPost, "/auth/logout", map[string]bool{"everywhere": true}, "Authorization", "Bearer "+two)
	assert.Equal(t, http.StatusNoContent, a.StatusCode)
	assert.Equal(t, http.StatusUnauthorized, phone.me(one).StatusCode)
	assert.Equal(t, http.StatusUnauthorized, laptop.me(two).StatusCode)
	a, _ = phone.exchange(code, verifier)
	assert.Equal(t, http.StatusBadRequest, a.StatusCode)
	assert.Equal(t, http.StatusOK, phone.me(other).StatusCode, "another user stays")
	assert.Equal(t, http.StatusOK, phone.me(phone.token("google", "ada")).StatusCode, "a new login works")
}

func TestADeletedUserIsOutWithTheNextRequest(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	token, code := b.token("google", "ada"), b.code("google", "ada")
	delete(w.store.users, "user-1")
	assert.Equal(t, http.StatusUnauthorized, b.me(token).StatusCode)
	a, _ := b.exchange(code, verifier)
	assert.Equal(t, http.StatusBadRequest, a.StatusCode)
}

func TestLogoutHereNeedsNoTokenAndTakesTheCookieAway(t *testing.T) {
	w := newWorld(t, setup{delivery: "cookie", https: true})
	b := w.browser()
	for _, body := range []any{nil, map[string]bool{}, map[string]bool{"everywhere": false}} {
		a := b.send(http.MethodPost, "/auth/logout", body)
		assert.Equal(t, http.StatusNoContent, a.StatusCode)
		require.Len(t, a.Cookies(), 1)
		assert.Equal(t, "__Host-session", a.Cookies()[0].Name)
		assert.Negative(t, a.Cookies()[0].MaxAge)
	}
	assert.Equal(t, http.StatusBadRequest, b.send(http.MethodPost, "/auth/logout", []string{"everywhere"}).StatusCode)
}

func TestATokenIsReadFromWhereItBelongsAndNowhereElse(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	token := b.token("google", "ada")
	for name, c := range map[string]struct {
		target string
		header []string
		status int
		code   string
	}{
		"none":                     {"/api/me", nil, 401, ""},
		"Bearer":                   {"/api/me", []string{"Authorization", "Bearer " + token}, 200, ""},
		"the scheme in any case":   {"/api/me", []string{"Authorization", "bEARER  " + token}, 200, ""},
		"in the query":             {"/api/me?token=" + token + "&access_token=" + token, nil, 401, ""},
		"in a cookie we never set": {"/api/me", []string{"Cookie", "session=" + token + "; __Host-session=" + token}, 401, ""},
		"another scheme":           {"/api/me", []string{"Authorization", "Basic " + token}, 401, "invalid_token"},
		"no scheme":                {"/api/me", []string{"Authorization", token}, 401, "invalid_token"},
		"two headers":              {"/api/me", []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}, 401, "invalid_token"},
		"two in one":               {"/api/me", []string{"Authorization", "Bearer " + token + " " + token}, 401, "invalid_token"},
	} {
		a := b.get(c.target, c.header...)
		assert.Equal(t, c.status, a.StatusCode, name)
		want := ""
		if c.status == 401 {
			if want = `Bearer realm="api"`; c.code != "" {
				want += `, error="` + c.code + `"`
			}
		}
		assert.Equal(t, want, a.Header.Get("WWW-Authenticate"), name)
	}

	c := newWorld(t, setup{delivery: "cookie", https: true}).browser()
	c.get(c.allow(c.get("/auth/google/login").location(t).String(), "ada"))
	assert.Equal(t, 200, c.get("/api/me").StatusCode)
	assert.Equal(t, 401, c.get("/api/me", "Authorization", "Bearer wrong").StatusCode, "who sends a header means it")
	assert.Equal(t, 401, w.browser().get("/api/me", "Cookie", "session="+c.cookie("__Host-session")).StatusCode, "no prefix, not our cookie")
	_, ok := auth.UserFrom(t.Context())
	assert.False(t, ok)
}

func TestADatabaseThatIsAwayIsA503AndNoLogout(t *testing.T) {
	w := newWorld(t, setup{})
	b := w.browser()
	token, code := b.token("google", "ada"), b.code("google", "ada")
	back := b.allow(b.initiate("google").AuthURL, "ada")
	for _, c := range []struct {
		name   string
		err    error
		status int
	}{
		{"away", context.DeadlineExceeded, 503},
		{"broken", fmt.Errorf("syntax: %w", errDown), 500}, // and stays so for what comes after
	} {
		w.store.mu.Lock()
		w.store.down = c.err
		w.store.mu.Unlock()
		assert.Equal(t, c.status, b.me(token).StatusCode, c.name)
		a, _ := b.exchange(code, verifier)
		assert.Equal(t, c.status, a.StatusCode, c.name)
		a = b.send(http.MethodPost, "/auth/logout", map[string]bool{"everywhere": true}, "Authorization", "Bearer "+token)
		assert.Equal(t, c.status, a.StatusCode, c.name)
		if c.status == 503 {
			assert.Equal(t, "5", a.Header.Get("Retry-After"))
		}
	}
	assert.Equal(t, 500, b.get(back).StatusCode)
	w.store.mu.Lock()
	w.store.down = nil
	w.store.mu.Unlock()
	assert.Equal(t, 200, b.me(token).StatusCode, "still logged in")
}

func TestNewListsEveryMistake(t *testing.T) {
	good := func() auth.Config {
		return auth.Config{
			Backend: parse(t, "https://api.example.com"), Frontend: parse(t, "https://app.example.com"), Secure: true,
			Keys: keys.New(secret), Store: &memory{}, Providers: []auth.Provider{
				{Name: "google", Issuer: "https://accounts.google.com", ClientID: "i", ClientSecret: "s"},
				{Name: "microsoft", Issuer: "https://login.microsoftonline.com/common/v2.0", Tenant: "common", ClientID: "i", ClientSecret: "s"},
			},
		}
	}
	_, err := auth.New(t.Context(), good())
	require.NoError(t, err)
	_, err = auth.New(t.Context(), auth.Config{Delivery: "pigeon"})
	for _, want := range []string{"Keys", "Store", "Backend", `"pigeon"`} {
		assert.ErrorContains(t, err, want)
	}
	for want, spoil := range map[string]func(*auth.Config){
		"Secure":                    func(c *auth.Config) { c.Secure = false },
		`"query" puts`:              func(c *auth.Config) { c.Delivery = "query" },
		`"cookie" needs a Frontend`: func(c *auth.Config) { c.Delivery = "cookie"; c.Frontend = parse(t, "https://app.example.net") },
		`send no cookie from https://a.vercel.app`: func(c *auth.Config) {
			c.Delivery, c.Frontend, c.Backend = "cookie", parse(t, "https://a.vercel.app"), parse(t, "https://b.vercel.app")
		},
		"Frontend: is no origin":   func(c *auth.Config) { c.Frontend = parse(t, "https://app.example.com/app") },
		"Tenant: is required":      func(c *auth.Config) { c.Providers[1].Tenant = "" },
		`Tenant: "contoso.com"`:    func(c *auth.Config) { c.Providers[1].Tenant = "contoso.com" },
		"must end in":              func(c *auth.Config) { c.Providers[1].Tenant = "organizations" },
		"is there twice":           func(c *auth.Config) { c.Providers[1] = c.Providers[0] },
		"Name: must be lower-case": func(c *auth.Config) { c.Providers[0].Name = "../x" },
		`Issuer: "accounts" is no`: func(c *auth.Config) { c.Providers[0].Issuer = "accounts" },
		"ClientID, ClientSecret":   func(c *auth.Config) { c.Providers[0].ClientSecret = "" },
	} {
		c := good()
		spoil(&c)
		_, err := auth.New(t.Context(), c)
		assert.ErrorContains(t, err, want)
	}
	c := good()
	c.Delivery = "cookie" // app.example.com and api.example.com are one site
	_, err = auth.New(t.Context(), c)
	assert.NoError(t, err)
}

var _ auth.Store = (*data.DB)(nil)
