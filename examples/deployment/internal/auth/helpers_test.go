package auth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/devidp"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/keys"
)

var (
	secret    = []byte("fZ0q7Yk2nV9xW4bT6mR1sL8cH3jD5gPe")
	oldSecret = []byte("Q5tB8wE1yU4iO7pA0sD3fG6hJ9kL2zXc")
)

// memory is a Store without a database.
type memory struct {
	mu    sync.Mutex
	users map[string]data.User
	codes map[[32]byte]savedCode
	down  error
	now   func() time.Time
}

type savedCode struct {
	user, challenge string
	expires         time.Time
}

func (m *memory) UpsertUser(_ context.Context, who data.Identity) (data.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return data.User{}, m.down
	}
	for id, u := range m.users {
		if u.Issuer == who.Issuer && u.Subject == who.Subject {
			u.Email, u.Name = who.Email, who.Name
			m.users[id] = u
			return u, nil
		}
	}
	u := data.User{
		ID: fmt.Sprintf("user-%d", len(m.users)+1), Issuer: who.Issuer, Subject: who.Subject,
		Email: who.Email, Name: who.Name, CreatedAt: m.now(),
	}
	m.users[u.ID] = u
	return u, nil
}

func (m *memory) User(_ context.Context, id string) (data.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.users[id]
	if m.down != nil {
		return data.User{}, m.down
	}
	if !ok {
		return data.User{}, data.ErrNotFound
	}
	return u, nil
}

func (m *memory) LogoutEverywhere(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.users[id]
	u.TokenEpoch++
	m.users[id] = u
	return m.down
}

func (m *memory) SaveCode(_ context.Context, hash [32]byte, userID, challenge string, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.codes[hash] = savedCode{userID, challenge, expires}
	return m.down
}

func (m *memory) TakeCode(_ context.Context, hash [32]byte) (string, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return "", "", m.down
	}
	c, ok := m.codes[hash]
	delete(m.codes, hash)
	if !ok || !m.now().Before(c.expires) {
		return "", "", data.ErrNotFound
	}
	return c.user, c.challenge, nil
}

// setup says what kind of world a test wants; the zero value is delivery "code",
// one origin, http.
type setup struct {
	delivery  string
	frontend  string // "" = the backend
	https     bool
	misbehave devidp.Misbehaviour
	providers func([]auth.Provider) []auth.Provider
	keys      *keys.Ring
}

// world is a backend with its providers on real connections.
type world struct {
	t       *testing.T
	server  *httptest.Server
	origin  string
	front   string
	store   *memory
	service *auth.Service
	keys    *keys.Ring
	later   atomic.Int64 // how far the clock has been put forward

	log     lockedBuffer
	mu      sync.Mutex
	secrets map[string]bool // nothing of this may be in the log
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (w *world) now() time.Time       { return time.Now().Add(time.Duration(w.later.Load())) }
func (w *world) wait(d time.Duration) { w.later.Add(int64(d)) }

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, keys: s.keys, secrets: map[string]bool{}}
	mux := http.NewServeMux()
	ids, err := correlation.New(correlation.Config{Logger: slog.New(slog.NewJSONHandler(&w.log, nil)), ClientErrorLines: 1 << 30})
	require.NoError(t, err)
	w.server = httptest.NewUnstartedServer(ids.Handler(mux))
	if s.https {
		w.server.StartTLS()
	} else {
		w.server.Start()
	}
	t.Cleanup(w.server.Close)
	w.origin, w.front = w.server.URL, w.server.URL
	if s.frontend != "" {
		w.front = s.frontend
	}
	if w.keys == nil {
		w.keys = keys.New(secret)
	}
	w.store = &memory{users: map[string]data.User{}, codes: map[[32]byte]savedCode{}, now: w.now}

	idp := devidp.NewMisbehaving(parse(t, w.origin), s.misbehave)
	providers := idp.Providers()
	for i := range providers {
		providers[i].HTTPClient = w.server.Client() // over the network, as the real ones
	}
	if s.providers != nil {
		providers = s.providers(providers)
	}
	w.service, err = auth.New(t.Context(), auth.Config{
		Backend: parse(t, w.origin), Frontend: parse(t, w.front), Providers: providers, Keys: w.keys, Store: w.store,
		Delivery: s.delivery, Secure: s.https, Log: slog.New(slog.NewJSONHandler(&w.log, nil)), Now: w.now,
	})
	require.NoError(t, err)
	w.service.Register(mux)
	mux.Handle(devidp.Prefix, idp)
	mux.Handle("GET /api/me", w.service.Authenticate(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		u, ok := auth.UserFrom(r.Context())
		if !ok {
			panic("no user behind Authenticate")
		}
		_ = json.NewEncoder(rw).Encode(u)
	})))
	t.Cleanup(w.logIsClean)
	return w
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}

// secret remembers a text that must not be logged.
func (w *world) secret(texts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range texts {
		if len(s) >= 16 {
			w.secrets[s] = true
		}
	}
}

func (w *world) logIsClean() {
	log := w.log.String()
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.secrets {
		if strings.Contains(log, s) {
			w.t.Errorf("the log holds the secret %q", s)
		}
	}
	for _, s := range []string{string(secret), "state=", "code=", "token=", "login?", "error_description"} {
		if strings.Contains(log, s) {
			w.t.Errorf("the log holds %q:\n%s", s, log)
		}
	}
}

// browser keeps cookies and follows redirects one at a time.
type browser struct {
	*world
	client *http.Client
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(w.t, err)
	c := *w.server.Client()
	c.Jar = jar
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{w, &c}
}

type answer struct {
	*http.Response
	body string
}

func (b *browser) do(r *http.Request) answer {
	b.t.Helper()
	res, err := b.client.Do(r)
	require.NoError(b.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	for _, c := range res.Cookies() {
		b.secret(c.Value)
	}
	if to, err := res.Location(); err == nil {
		for _, values := range to.Query() {
			b.secret(values...)
		}
	}
	return answer{res, string(body)}
}

func (b *browser) get(target string, header ...string) answer {
	b.t.Helper()
	return b.send(http.MethodGet, target, nil, header...)
}

// send sends JSON if body is not nil; header is name, value, ...
func (b *browser) send(method, target string, body any, header ...string) answer {
	b.t.Helper()
	if !strings.Contains(target, "://") {
		target = b.origin + target
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		require.NoError(b.t, err)
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, target, content)
	require.NoError(b.t, err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return b.do(r)
}

func (a answer) json(t *testing.T, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(a.body), v), a.body)
}

func (a answer) location(t *testing.T) *url.URL {
	t.Helper()
	require.Equal(t, http.StatusSeeOther, a.StatusCode, a.body)
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	to, err := a.Location()
	require.NoError(t, err)
	return to
}

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

type begun struct {
	AuthURL string `json:"auth_url"`
	State   string `json:"state"`
}

// initiate is what the frontend does first.
func (b *browser) initiate(provider string) begun {
	b.t.Helper()
	a := b.send(http.MethodPost, "/auth/"+provider+"/initiate", map[string]string{
		"challenge": challengeOf(verifier), "return_url": "/threads/7?tab=2#end",
	})
	require.Equal(b.t, http.StatusOK, a.StatusCode, a.body)
	var s begun
	a.json(b.t, &s)
	require.NotEmpty(b.t, s.State)
	b.secret(s.State)
	for _, values := range parse(b.t, s.AuthURL).Query() {
		b.secret(values...)
	}
	return s
}

// allow goes to auth_url, logs in at the provider as somebody ("" cancels), and
// returns the URL of the callback that the browser is sent to.
func (b *browser) allow(authURL, user string) string {
	b.t.Helper()
	if strings.Contains(authURL, "/login?") {
		authURL = b.get(authURL).location(b.t).String()
	}
	page := b.get(authURL)
	require.Equal(b.t, http.StatusOK, page.StatusCode, page.body)
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, authURL, strings.NewReader(url.Values{"user": {user}}.Encode()))
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r).location(b.t).String()
}

// exchange is the frontend's last step.
func (b *browser) exchange(code, verifier string) (answer, tokenAnswer) {
	b.t.Helper()
	a := b.send(http.MethodPost, "/auth/token", map[string]string{"code": code, "verifier": verifier})
	var t tokenAnswer
	a.json(b.t, &t)
	b.secret(t.AccessToken, code, verifier)
	return a, t
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	ReturnURL   string `json:"return_url"`
}

// code logs in up to the one-time code.
func (b *browser) code(provider, user string) string {
	b.t.Helper()
	to := b.get(b.allow(b.initiate(provider).AuthURL, user)).location(b.t)
	require.NotEmpty(b.t, to.Query().Get("code"), to)
	return to.Query().Get("code")
}

// token logs in up to the token.
func (b *browser) token(provider, user string) string {
	b.t.Helper()
	a, t := b.exchange(b.code(provider, user), verifier)
	require.Equal(b.t, http.StatusOK, a.StatusCode, a.body)
	return t.AccessToken
}

func (b *browser) me(token string) answer {
	b.t.Helper()
	return b.get("/api/me", "Authorization", "Bearer "+token)
}

// refused requires that a callback or login led to the frontend with an error,
// and nothing else came of it.
func (b *browser) refused(a answer, code string) {
	b.t.Helper()
	to := a.location(b.t)
	require.Equal(b.t, b.front+"/auth/callback", to.Scheme+"://"+to.Host+to.Path)
	require.Equal(b.t, code, to.Query().Get("error"), to)
	require.False(b.t, to.Query().Has("code") || to.Query().Has("token"))
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	require.Empty(b.t, b.store.codes, "no code was made")
	for _, c := range a.Cookies() {
		require.NotContains(b.t, c.Name, "session")
	}
}

// cookie returns a cookie that the browser would send to the backend.
func (b *browser) cookie(name string) string {
	for _, c := range b.client.Jar.Cookies(parse(b.t, b.origin)) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(name, value string) {
	b.client.Jar.SetCookies(parse(b.t, b.origin), []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: strings.HasPrefix(name, "__Host-")}})
}

var errDown = errors.New("down")
