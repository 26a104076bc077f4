// Package devidp is an identity provider for a developer's machine: the wire
// format of OpenID Connect as Google and Microsoft speak it (discovery, keys,
// authorization page, token endpoint with PKCE), with two users and no passwords.
// Whoever reaches it can log in as either, so production refuses to serve it.
package devidp

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
)

// The one client, which both providers know. Neither is a secret.
const (
	ClientID     = "development"
	ClientSecret = "development"
)

// Prefix is the path under which all of it is served.
const Prefix = "/dev/idp/"

const (
	google    = "google"
	microsoft = "microsoft"
	kid       = "development-1"
	codeLife  = time.Minute
	tokenLife = time.Hour
	maxUsed   = 1000 // whoever plays with it must not fill the memory
)

// user is somebody to log in as.
type user struct {
	ID, Name, Email string
	Tenant          string // of Microsoft: two, as with "common"
}

var users = []user{
	{"ada", "Ada Lovelace", "ada@example.com", "11111111-1111-4111-8111-111111111111"},
	{"alan", "Alan Turing", "alan@example.com", "22222222-2222-4222-8222-222222222222"},
}

// IDP is both providers. It is an http.Handler for everything under Prefix, safe
// for concurrent use.
type IDP struct {
	base  string // "http://localhost:8000/dev/idp/"
	back  string // "http://localhost:8000"
	mux   *http.ServeMux
	key   *rsa.PrivateKey
	wrong Misbehaviour

	mu   sync.Mutex
	used map[string]time.Time // codes, until they would have expired
}

// grant is what an authorization code stands for. The code says so itself, in
// base64url: where replicas share an address, another one has to take it. It is
// not signed, since whoever makes one up could as well use the page.
type grant struct {
	Provider, RedirectURI, Challenge, Nonce, User string
	Expires                                       time.Time
	Random                                        string // no two are equal
}

// Misbehaviour makes the provider lie, for tests of who has to notice.
type Misbehaviour struct {
	// IDToken changes the token and returns the key to sign it with (nil: as given).
	IDToken func(t *jwt.Token, key *rsa.PrivateKey) any
	// RawIDToken changes the signed token.
	RawIDToken func(string) string
	// Token answers in place of the token endpoint, if it returns true.
	Token func(http.ResponseWriter, *http.Request) bool
	// Discovery changes the discovery document.
	Discovery func(map[string]any)
	// Keys answers in place of the key set, if it returns true.
	Keys func(http.ResponseWriter) bool
}

// signingKey is this process's, made at the first use.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // never: the random source ends the program instead
	}
	return key
})

// New returns the providers of a backend at an origin like
// http://localhost:8000.
func New(backend *url.URL) *IDP { return NewMisbehaving(backend, Misbehaviour{}) }

// NewMisbehaving is New for tests.
func NewMisbehaving(backend *url.URL, m Misbehaviour) *IDP {
	back := backend.Scheme + "://" + backend.Host
	p := &IDP{base: back + Prefix, back: back, mux: http.NewServeMux(), key: signingKey(), wrong: m, used: map[string]time.Time{}}
	p.mux.HandleFunc("GET "+Prefix+"google/.well-known/openid-configuration", p.discovery(google))
	p.mux.HandleFunc("GET "+Prefix+"microsoft/common/v2.0/.well-known/openid-configuration", p.discovery(microsoft))
	p.mux.HandleFunc("GET "+Prefix+"{provider}/jwks", p.jwks)
	p.mux.HandleFunc("GET "+Prefix+"{provider}/authorize", p.page)
	p.mux.HandleFunc("POST "+Prefix+"{provider}/authorize", p.decide)
	p.mux.HandleFunc("POST "+Prefix+"{provider}/token", p.token)
	p.mux.HandleFunc("GET "+Prefix+"style.css", style)
	return p
}

func (p *IDP) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// Providers are the two for auth.Config. They are asked in this process: it may
// be behind another port than the browser's (a container), and its own rate limit.
func (p *IDP) Providers() []auth.Provider {
	client := &http.Client{Transport: inProcess{p}, Timeout: 10 * time.Second}
	return []auth.Provider{
		{Name: google, Issuer: p.base + google, ClientID: ClientID, ClientSecret: ClientSecret, HTTPClient: client},
		{
			Name: microsoft, Issuer: p.base + "microsoft/common/v2.0", Tenant: "common",
			ClientID: ClientID, ClientSecret: ClientSecret, HTTPClient: client,
		},
	}
}

// issuer is the iss of the tokens: Microsoft's has the tenant in it.
func (p *IDP) issuer(provider, tenant string) string {
	if provider == microsoft {
		return p.base + "microsoft/" + tenant + "/v2.0"
	}
	return p.base + provider
}

// discovery is OpenID Connect Discovery 1.0, section 3.
func (p *IDP) discovery(provider string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		at := p.base + provider
		document := map[string]any{
			"issuer":                                p.issuer(provider, "{tenantid}"), // literally, as Microsoft's says
			"authorization_endpoint":                at + "/authorize",
			"token_endpoint":                        at + "/token",
			"jwks_uri":                              at + "/jwks",
			"response_types_supported":              []string{"code"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
			"code_challenge_methods_supported":      []string{"S256"},
			"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
			"scopes_supported":                      []string{"openid", "email", "profile"},
		}
		if p.wrong.Discovery != nil {
			p.wrong.Discovery(document)
		}
		writeJSON(w, http.StatusOK, document)
	}
}

// jwks is the public key (RFC 7517, RFC 7518, section 6.3).
func (p *IDP) jwks(w http.ResponseWriter, _ *http.Request) {
	if p.wrong.Keys != nil && p.wrong.Keys(w) {
		return
	}
	b64 := base64.RawURLEncoding.EncodeToString
	writeJSON(w, http.StatusOK, map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
		"n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes()),
	}}})
}

// code makes the code for what the user allowed, good for a minute.
func (g grant) code() string {
	g.Expires, g.Random = time.Now().Add(codeLife), rand.Text()
	text, err := json.Marshal(g)
	if err != nil {
		panic(err) // strings and a time
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// take returns a code's grant and who it is for; once, as far as this process knows.
func (p *IDP) take(code string) (g grant, u user, ok bool) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if err != nil || json.Unmarshal(text, &g) != nil || time.Now().After(g.Expires) {
		return g, u, false
	}
	i := slices.IndexFunc(users, func(u user) bool { return u.ID == g.User })
	if i < 0 {
		return g, u, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for code, expires := range p.used {
		if len(p.used) >= maxUsed || time.Now().After(expires) {
			delete(p.used, code)
		}
	}
	_, again := p.used[code]
	p.used[code] = g.Expires
	return g, users[i], !again
}

// token is the token endpoint (RFC 6749, sections 4.1.3 and 4.1.4; RFC 7636,
// section 4.6; OpenID Connect Core 1.0, section 3.1.3).
func (p *IDP) token(w http.ResponseWriter, r *http.Request) {
	if p.wrong.Token != nil && p.wrong.Token(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if r.ParseForm() != nil || r.PostForm.Get("grant_type") != "authorization_code" {
		fail(w, http.StatusBadRequest, "invalid_request")
		return
	}
	if !authenticated(r) {
		fail(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	g, u, ok := p.take(r.PostForm.Get("code"))
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if !ok || g.Provider != r.PathValue("provider") || g.RedirectURI != r.PostForm.Get("redirect_uri") ||
		subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(g.Challenge)) != 1 {
		fail(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": rand.Text(), "token_type": "Bearer", "expires_in": int(tokenLife / time.Second),
		"scope": "openid email profile", "id_token": p.idToken(g, u),
	})
}

func authenticated(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	return id == ClientID && secret == ClientSecret
}

// idToken is signed with RS256. The claims are those that the real providers send
// for the scopes openid, email and profile.
func (p *IDP) idToken(g grant, u user) string {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": p.issuer(g.Provider, u.Tenant), "sub": g.Provider + "-" + u.ID, "aud": ClientID,
		"iat": now.Unix(), "exp": now.Add(tokenLife).Unix(), "nonce": g.Nonce, "name": u.Name, "email": u.Email,
	}
	if g.Provider == microsoft {
		claims["tid"], claims["ver"], claims["nbf"] = u.Tenant, "2.0", now.Unix()
		claims["preferred_username"] = u.Email
	} else {
		claims["azp"], claims["email_verified"] = ClientID, true
	}
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header["kid"] = kid
	var key any = p.key
	if p.wrong.IDToken != nil {
		if other := p.wrong.IDToken(t, p.key); other != nil {
			key = other
		}
	}
	signed, err := t.SignedString(key)
	if err != nil {
		panic(err) // our own key and claims
	}
	if p.wrong.RawIDToken != nil {
		signed = p.wrong.RawIDToken(signed)
	}
	return signed
}

// asked checks an authorization request. What is wrong with client or redirect
// URI is told to the user and never sent on: that is how open redirectors are
// made (RFC 6749, section 4.1.2.1).
func (p *IDP) asked(r *http.Request) (query url.Values, ok bool) {
	q := r.URL.Query()
	provider := r.PathValue("provider")
	return q, (provider == google || provider == microsoft) && q.Get("client_id") == ClientID &&
		q.Get("redirect_uri") == p.back+"/auth/"+provider+"/callback" && q.Get("response_type") == "code" &&
		slices.Contains(strings.Fields(q.Get("scope")), "openid") && q.Get("state") != "" &&
		q.Get("code_challenge_method") == "S256" && len(q.Get("code_challenge")) == 43
}

// decide is the form of the page: log in as somebody, or not.
func (p *IDP) decide(w http.ResponseWriter, r *http.Request) {
	q, ok := p.asked(r)
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if !ok || r.ParseForm() != nil {
		http.Error(w, "This is no authorization request of the app.", http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": {q.Get("state")}}
	chosen := slices.IndexFunc(users, func(u user) bool { return u.ID == r.PostForm.Get("user") })
	if chosen < 0 {
		answer.Set("error", "access_denied")
	} else {
		answer.Set("code", grant{
			Provider: r.PathValue("provider"), RedirectURI: q.Get("redirect_uri"), Challenge: q.Get("code_challenge"),
			Nonce: q.Get("nonce"), User: users[chosen].ID,
		}.code())
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", q.Get("redirect_uri")+"?"+answer.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

func fail(w http.ResponseWriter, status int, code string) {
	writeJSON(w, status, map[string]string{"error": code})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and lists of them
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
