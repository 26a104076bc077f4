package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/devidp"
)

type change = func(t *jwt.Token, key *rsa.PrivateKey) any

// claim sets a claim, or takes it away (nil).
func claim(name string, value any) change {
	return func(t *jwt.Token, _ *rsa.PrivateKey) any {
		c := t.Claims.(jwt.MapClaims)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return nil
	}
}

func signedBy(method jwt.SigningMethod, key func(*rsa.PrivateKey) any) change {
	return func(t *jwt.Token, k *rsa.PrivateKey) any {
		t.Method = method
		t.Header["alg"] = method.Alg()
		return key(k)
	}
}

func publicPEM(k *rsa.PrivateKey) any {
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// login returns what the callback answers with a provider that lies.
func login(t *testing.T, provider string, m devidp.Misbehaviour) (*browser, answer) {
	t.Helper()
	w := newWorld(t, setup{misbehave: m})
	b := w.browser()
	return b, b.get(b.allow(b.initiate(provider).AuthURL, "ada"))
}

func TestAnIDTokenIsBelievedOnlyAfterEveryCheck(t *testing.T) {
	mallory, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	hour := time.Now().Add(time.Hour).Unix()
	for name, c := range map[string]change{
		"nonce of another login":     claim("nonce", strings.Repeat("A", 43)),
		"no nonce":                   claim("nonce", nil),
		"empty nonce":                claim("nonce", ""),
		"audience of another client": claim("aud", "other"),
		"no audience":                claim("aud", nil),
		"two audiences, no azp": func(t *jwt.Token, _ *rsa.PrivateKey) any {
			claim("azp", nil)(t, nil)
			return claim("aud", []string{"development", "other"})(t, nil)
		},
		"azp of another client": claim("azp", "other"),
		"another issuer":        claim("iss", "https://attacker.example"),
		"issuer with a slash": func(t *jwt.Token, _ *rsa.PrivateKey) any {
			c := t.Claims.(jwt.MapClaims)
			c["iss"] = c["iss"].(string) + "/"
			return nil
		},
		"no issuer":                    claim("iss", nil),
		"expired":                      claim("exp", time.Now().Add(-time.Minute).Unix()),
		"no expiry":                    claim("exp", nil),
		"not before an hour":           claim("nbf", hour),
		"no subject":                   claim("sub", nil),
		"subject too long":             claim("sub", strings.Repeat("s", 256)),
		"subject is a number":          claim("sub", 7),
		"subject with a NUL":           claim("sub", "a\x00b"),
		"e-mail is a number":           claim("email", 7),
		"unsigned (alg none)":          signedBy(jwt.SigningMethodNone, func(*rsa.PrivateKey) any { return jwt.UnsafeAllowNoneSignatureType }),
		"HS256 with the public key":    signedBy(jwt.SigningMethodHS256, publicPEM),
		"HS256 with the client secret": signedBy(jwt.SigningMethodHS256, func(*rsa.PrivateKey) any { return []byte(devidp.ClientSecret) }),
		"RS512, which was not agreed":  signedBy(jwt.SigningMethodRS512, func(k *rsa.PrivateKey) any { return k }),
		"signed by somebody else":      func(*jwt.Token, *rsa.PrivateKey) any { return mallory },
		"key of an unknown ID":         func(t *jwt.Token, _ *rsa.PrivateKey) any { t.Header["kid"] = "unknown"; return nil },
		"key brought along (jwk)": func(t *jwt.Token, _ *rsa.PrivateKey) any {
			t.Header["jwk"] = map[string]string{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(mallory.N.Bytes()), "e": "AQAB"}
			return mallory
		},
		"unknown critical header": func(t *jwt.Token, _ *rsa.PrivateKey) any {
			t.Header["crit"], t.Header["x"] = []string{"x"}, 1
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, a := login(t, "google", devidp.Misbehaviour{IDToken: c})
			b.refused(a, "login_failed")
			assert.Empty(t, b.store.users)
			assert.Empty(t, b.cookie("login-google"), "the login is over")
			assert.Contains(t, b.log.String(), "login refused")
		})
	}
	for name, c := range map[string]func(string) string{
		"payload changed": func(s string) string {
			p := strings.Split(s, ".")
			text, _ := base64.RawURLEncoding.DecodeString(p[1])
			p[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(text), "google-ada", "google-eve", 1)))
			return strings.Join(p, ".")
		},
		"signature cut off":  func(s string) string { return s[:strings.LastIndex(s, ".")+1] },
		"signature changed":  func(s string) string { return s[:len(s)-10] + "AAAAAAAAAA" },
		"no JWT":             func(string) string { return "no JWT at all, but some words" },
		"empty":              func(string) string { return "" },
		"JSON serialization": func(s string) string { p := strings.Split(s, "."); return `{"payload":"` + p[1] + `","signatures":[]}` },
	} {
		t.Run(name, func(t *testing.T) {
			b, a := login(t, "google", devidp.Misbehaviour{RawIDToken: func(s string) string { b := c(s); return b }})
			b.refused(a, "login_failed")
			assert.Empty(t, b.store.users)
		})
	}
}

func TestMicrosoftsIssuerMustBeTheTenantsOwn(t *testing.T) {
	iss := func(tenant string) change {
		return func(t *jwt.Token, _ *rsa.PrivateKey) any {
			c := t.Claims.(jwt.MapClaims)
			c["iss"] = strings.Replace(c["iss"].(string), ada.tenant, tenant, 1)
			return nil
		}
	}
	const other = "33333333-3333-4333-8333-333333333333"
	for name, c := range map[string]change{
		"tid of another tenant": claim("tid", other),
		"iss of another tenant": iss(other),
		"no tid":                claim("tid", nil),
		"tid is no UUID": func(t *jwt.Token, k *rsa.PrivateKey) any {
			claim("tid", "{tenantid}")(t, k)
			return iss("{tenantid}")(t, k)
		},
		"tid leads out of the path": func(t *jwt.Token, k *rsa.PrivateKey) any {
			claim("tid", "../google")(t, k)
			return iss("../google")(t, k)
		},
		"an issuer that is nobody's": claim("iss", "https://attacker.example/"+ada.tenant+"/v2.0"),
		"nonce of another login":     claim("nonce", "x"),
		"audience of another client": claim("aud", "other"),
		"expired":                    claim("exp", 1),
		"unsigned":                   signedBy(jwt.SigningMethodNone, func(*rsa.PrivateKey) any { return jwt.UnsafeAllowNoneSignatureType }),
	} {
		t.Run(name, func(t *testing.T) {
			b, a := login(t, "microsoft", devidp.Misbehaviour{IDToken: c})
			b.refused(a, "login_failed")
			assert.Empty(t, b.store.users)
		})
	}
}

func TestOnlyTheConfiguredTenantsMayLogIn(t *testing.T) {
	const private = "9188040d-6c67-4c5b-b112-36a304b66dad" // learn.microsoft.com: id-token-claims-reference, tid
	const work = "44444444-4444-4444-8444-444444444444"
	for _, c := range []struct {
		configured, tokens string
		ok                 bool
	}{
		{"common", private, true},
		{"common", work, true},
		{"organizations", private, false},
		{"organizations", work, true},
		{"consumers", private, true},
		{"consumers", work, false},
		{work, work, true},
		{work, private, false},
		{work, ada.tenant, false},
	} {
		t.Run(c.configured+" "+c.tokens, func(t *testing.T) {
			var w *world
			w = newWorld(t, setup{
				misbehave: devidp.Misbehaviour{
					// The document of a single tenant has its ID, as Microsoft's does.
					Discovery: func(d map[string]any) {
						switch c.configured {
						case "consumers":
							d["issuer"] = strings.Replace(d["issuer"].(string), "{tenantid}", private, 1)
						case work:
							d["issuer"] = strings.Replace(d["issuer"].(string), "{tenantid}", work, 1)
						}
					},
					IDToken: func(tk *jwt.Token, _ *rsa.PrivateKey) any {
						claims := tk.Claims.(jwt.MapClaims)
						claims["iss"], claims["tid"] = w.origin+"/dev/idp/microsoft/"+c.tokens+"/v2.0", c.tokens
						return nil
					},
				},
				providers: func(all []auth.Provider) []auth.Provider {
					m := all[1]
					m.HTTPClient = &http.Client{Transport: asCommon{m.HTTPClient.Transport, c.configured}}
					m.Issuer, m.Tenant = strings.Replace(m.Issuer, "/common/", "/"+c.configured+"/", 1), c.configured
					return []auth.Provider{m}
				},
			})
			b := w.browser()
			a := b.get(b.allow(b.initiate("microsoft").AuthURL, "ada"))
			if !c.ok {
				b.refused(a, "login_failed")
				assert.Empty(t, w.store.users)
				return
			}
			assert.NotEmpty(t, a.location(t).Query().Get("code"))
			assert.Equal(t, w.origin+"/dev/idp/microsoft/"+c.tokens+"/v2.0", w.store.users["user-1"].Issuer)
		})
	}
}

// A document with one issuer does not bind tid by itself.
func TestATokenOfTheRightIssuerWithAnotherTenantIsRefused(t *testing.T) {
	for _, tenant := range []string{"consumers", ada.tenant} {
		id := map[bool]string{true: "9188040d-6c67-4c5b-b112-36a304b66dad", false: ada.tenant}[tenant == "consumers"]
		var w *world
		w = newWorld(t, setup{
			misbehave: devidp.Misbehaviour{
				Discovery: func(d map[string]any) { d["issuer"] = strings.Replace(d["issuer"].(string), "{tenantid}", id, 1) },
				IDToken: func(tk *jwt.Token, _ *rsa.PrivateKey) any {
					claims := tk.Claims.(jwt.MapClaims)
					claims["iss"], claims["tid"] = w.origin+"/dev/idp/microsoft/"+id+"/v2.0", "44444444-4444-4444-8444-444444444444"
					return nil
				},
			},
			providers: func(all []auth.Provider) []auth.Provider {
				m := all[1]
				m.HTTPClient = &http.Client{Transport: asCommon{m.HTTPClient.Transport, tenant}}
				m.Issuer, m.Tenant = strings.Replace(m.Issuer, "/common/", "/"+tenant+"/", 1), tenant
				return []auth.Provider{m}
			},
		})
		b := w.browser()
		b.refused(b.get(b.allow(b.initiate("microsoft").AuthURL, "ada")), "login_failed")
	}
}

// asCommon asks for a tenant's document where the development provider has it.
type asCommon struct {
	http.RoundTripper
	tenant string
}

func (a asCommon) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Path = strings.Replace(r.URL.Path, "/"+a.tenant+"/v2.0/", "/common/v2.0/", 1)
	return a.RoundTripper.RoundTrip(r)
}

func TestAnAddressThatTheProviderHasNotVerifiedIsDropped(t *testing.T) {
	b, a := login(t, "google", devidp.Misbehaviour{IDToken: claim("email_verified", false)})
	assert.NotEmpty(t, a.location(t).Query().Get("code"))
	assert.Empty(t, b.store.users["user-1"].Email)

	b, _ = login(t, "google", devidp.Misbehaviour{IDToken: claim("name", "Ada\r\nLovelace\x00")})
	assert.Equal(t, ada.email, b.store.users["user-1"].Name, "no control characters; the address stands in")
}

func TestAProviderThatIsAwayIsA503ForItsOwnUsersAlone(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	asked := atomic.Int64{}
	w := newWorld(t, setup{
		providers: func(all []auth.Provider) []auth.Provider {
			all[0].HTTPClient = &http.Client{Transport: unreliable{all[0].HTTPClient.Transport, &down, &asked}}
			return all
		},
	})
	b := w.browser()
	for range 3 {
		a := b.send(http.MethodPost, "/auth/google/initiate", map[string]string{"challenge": challengeOf(verifier)})
		assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		assert.Equal(t, "5", a.Header.Get("Retry-After"))
		assert.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
	}
	assert.EqualValues(t, 1, asked.Load(), "it is not asked again at once")
	w.browser().token("microsoft", "ada")

	down.Store(false)
	w.wait(3 * time.Second)
	w.browser().token("google", "ada")
}

type unreliable struct {
	http.RoundTripper
	down  *atomic.Bool
	asked *atomic.Int64
}

func (u unreliable) RoundTrip(r *http.Request) (*http.Response, error) {
	u.asked.Add(1)
	if u.down.Load() {
		return nil, errDown
	}
	return u.RoundTripper.RoundTrip(r)
}

func TestManyFirstLoginsAskForOneDiscovery(t *testing.T) {
	var down atomic.Bool
	var asked atomic.Int64
	w := newWorld(t, setup{providers: func(all []auth.Provider) []auth.Provider {
		all[0].HTTPClient = &http.Client{Transport: unreliable{all[0].HTTPClient.Transport, &down, &asked}}
		return all
	}})
	done := make(chan int, 16)
	for range 16 {
		b := w.browser()
		go func() {
			done <- b.send(http.MethodPost, "/auth/google/initiate", map[string]string{"challenge": challengeOf(verifier)}).StatusCode
		}()
	}
	for range 16 {
		assert.Equal(t, http.StatusOK, <-done)
	}
	assert.EqualValues(t, 1, asked.Load())
}

// An outage in the middle of a login: the browser keeps its cookie, a reload goes on.
func TestAReloadOfTheCallbackGoesOnAfterAnOutage(t *testing.T) {
	var tokenDown, keysDown atomic.Bool
	w := newWorld(t, setup{misbehave: devidp.Misbehaviour{
		Token: func(w http.ResponseWriter, _ *http.Request) bool {
			if tokenDown.Load() {
				w.WriteHeader(http.StatusBadGateway)
			}
			return tokenDown.Load()
		},
		Keys: func(w http.ResponseWriter) bool {
			if keysDown.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
			return keysDown.Load()
		},
	}})
	b := w.browser()
	back := b.allow(b.initiate("google").AuthURL, "ada")
	tokenDown.Store(true)
	assert.Equal(t, http.StatusServiceUnavailable, b.get(back).StatusCode)
	tokenDown.Store(false)
	assert.NotEmpty(t, b.get(back).location(t).Query().Get("code"))

	b = newWorld(t, setup{misbehave: devidp.Misbehaviour{Keys: func(w http.ResponseWriter) bool { w.WriteHeader(500); return true }}}).browser()
	back = b.allow(b.initiate("google").AuthURL, "ada")
	assert.Equal(t, http.StatusServiceUnavailable, b.get(back).StatusCode, "keys that cannot be fetched are no forgery")
	assert.Empty(t, b.store.users)
}

func TestATokenEndpointThatRefusesOrTalksNonsenseFailsTheLogin(t *testing.T) {
	for name, body := range map[string]string{
		"invalid_grant":    `{"error":"invalid_grant","error_description":"the code 4/abcdefghijklmnop was used"}`,
		"invented error":   `{"error":"<b>state=12345678901234567890</b>"}`,
		"not JSON":         `<html>code=4/abcdefghijklmnop</html>`,
		"no id_token":      `{"access_token":"x","token_type":"Bearer"}`,
		"id_token a list":  `{"access_token":"x","token_type":"Bearer","id_token":["a"]}`,
		"nothing but null": `null`,
	} {
		t.Run(name, func(t *testing.T) {
			status := http.StatusOK
			if strings.Contains(body, `"error"`) {
				status = http.StatusBadRequest
			}
			b, a := login(t, "google", devidp.Misbehaviour{Token: func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
				return true
			}})
			assert.Empty(t, b.store.users)
			assert.NotContains(t, b.log.String(), "4/abcdef")
			assert.NotContains(t, b.log.String(), "12345678901234567890")
			if name == "not JSON" || name == "nothing but null" {
				assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode, "not a provider's answer: an outage")
				return
			}
			b.refused(a, "login_failed")
		})
	}
}

func TestADiscoveryDocumentOfAnotherIssuerOrWithoutTLSIsRefused(t *testing.T) {
	for name, c := range map[string]func(map[string]any){
		"another issuer": func(d map[string]any) { d["issuer"] = "https://attacker.example" },
		"another tenant's issuer": func(d map[string]any) {
			d["issuer"] = strings.Replace(d["issuer"].(string), "{tenantid}", ada.tenant, 1) + "x"
		},
		"token endpoint without TLS":  func(d map[string]any) { d["token_endpoint"] = "http://attacker.example/token" },
		"keys without TLS":            func(d map[string]any) { d["jwks_uri"] = "http://attacker.example/keys" },
		"login page that is a script": func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" },
		"no token endpoint":           func(d map[string]any) { delete(d, "token_endpoint") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{https: true, misbehave: devidp.Misbehaviour{Discovery: c}})
			for _, provider := range []string{"google", "microsoft"} {
				a := w.browser().send(http.MethodPost, "/auth/"+provider+"/initiate", map[string]string{"challenge": challengeOf(verifier)})
				assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
			}
		})
	}
}
