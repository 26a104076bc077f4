package browsertest_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/corsx"
)

// corsPage serves an empty document under every host, so that a test has pages of
// any origin.
var corsPage = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	io.WriteString(w, "<!doctype html><title>page</title>")
})

// corsSite is an API behind corsx and a server of pages that call it, on two
// ports of loopback: hosts below shop.example are one site, other origins.
type corsSite struct {
	app, attacker, api string // origins

	mu   sync.Mutex
	seen []string // what reached the server, preflights included
}

func (s *corsSite) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// newCORSSite serves h behind corsx. The Config is completed with the origin of
// the app.
func newCORSSite(t *testing.T, cfg corsx.Config, h http.Handler) *corsSite {
	t.Helper()
	pages := serveTLS(t, corsPage)
	s := &corsSite{app: "https://app.shop.example:" + pages, attacker: "https://attacker.example:" + pages}
	cfg.Origins = append(cfg.Origins, s.app)
	cors, err := corsx.New(cfg)
	require.NoError(t, err)
	wrapped := cors.Handler(h)
	s.api = "https://api.shop.example:" + serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		wrapped.ServeHTTP(w, r)
	}))
	return s
}

// corsFetched is what a page learns of a fetch; Status 0 is "Failed to fetch".
type corsFetched struct {
	Status int
	Body   string
	Header map[string]string
	Error  string
}

func (tb *tab) corsFetch(url string, init map[string]any) corsFetched {
	tb.t.Helper()
	options, err := json.Marshal(init)
	require.NoError(tb.t, err)
	return eval[corsFetched](tb, fmt.Sprintf(`fetch(%q, %s).then(
		async r => ({Status: r.status, Body: await r.text(), Header: Object.fromEntries(r.headers)}),
		e => ({Error: String(e)}))`, url, options))
}

type corsInit = map[string]any

func TestCORSAnAllowedPageReadsAnswersWhateverTheirStatus(t *testing.T) {
	mux := http.NewServeMux()
	for _, status := range []int{200, 401, 403, 404, 429, 500, 503} {
		mux.HandleFunc(fmt.Sprintf("GET /%d", status), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.Header().Set("X-Secret", "not exposed")
			w.WriteHeader(status)
			io.WriteString(w, "said")
		})
	}
	mux.HandleFunc("GET /dir/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	s := newCORSSite(t, corsx.Config{Methods: []string{"DELETE"}, ExposedHeaders: []string{"Retry-After"}}, mux)
	tb := newTab(t)
	tb.open(s.app)
	for _, status := range []int{200, 401, 403, 404, 429, 500, 503} {
		got := tb.corsFetch(fmt.Sprintf("%s/%d", s.api, status), nil)
		assert.Equal(t, status, got.Status, got.Error)
		assert.Equal(t, "said", got.Body)
		assert.Equal(t, "7", got.Header["retry-after"])
		assert.NotContains(t, got.Header, "x-secret")
	}
	assert.Equal(t, 405, tb.corsFetch(s.api+"/200", corsInit{"method": "DELETE"}).Status, "the mux's own 405")
	assert.Equal(t, "/dir/", tb.corsFetch(s.api+"/dir", nil).Body, "the mux's own redirect")

	tb.open(s.attacker)
	s.took()
	for _, status := range []int{200, 401, 500} {
		got := tb.corsFetch(fmt.Sprintf("%s/%d", s.api, status), nil)
		assert.Zero(t, got.Status)
		assert.Contains(t, got.Error, "Failed to fetch")
	}
	assert.Len(t, s.took(), 3, "CORS hides answers, it does not stop requests")
	assert.Zero(t, tb.corsFetch(s.api+"/200", corsInit{"method": "DELETE"}).Status)
	assert.Equal(t, []string{"OPTIONS /200"}, s.took(), "what needs a preflight is not sent")
}

func TestCORSASandboxedFrameHasNoRights(t *testing.T) {
	s := newCORSSite(t, corsx.Config{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "said") }))
	tb := newTab(t)
	tb.open(s.app)
	got := eval[string](tb, fmt.Sprintf(`new Promise(done => {
		addEventListener('message', e => done(e.data));
		const f = document.createElement('iframe');
		f.sandbox = 'allow-scripts';
		f.srcdoc = "<script>fetch('%s').then(r => 'read', () => 'denied').then(m => parent.postMessage(m + ' ' + origin, '*'))</"+"script>";
		document.body.append(f);
	})`, s.api))
	assert.Equal(t, "denied null", got)
}

func TestCORSCredentialsAreReadOnlyWhereTheConfigSaysSo(t *testing.T) {
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "alice", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		if c, err := r.Cookie("session"); err == nil {
			io.WriteString(w, c.Value)
			return
		}
		io.WriteString(w, "nobody")
	})
	for _, credentials := range []bool{true, false} {
		s := newCORSSite(t, corsx.Config{Credentials: credentials, RequestHeaders: []string{"Content-Type"}}, who)
		tb := newTab(t)
		tb.open(s.api) // signs in
		tb.open(s.app)
		assert.Equal(t, "nobody", tb.corsFetch(s.api, nil).Body, "no cookie goes along unless the page asks")
		with := tb.corsFetch(s.api, corsInit{"credentials": "include"})
		preflighted := tb.corsFetch(s.api, corsInit{"credentials": "include", "method": "POST", "body": "{}", "headers": corsInit{"Content-Type": "application/json"}})
		if credentials {
			assert.Equal(t, "alice", with.Body, with.Error)
			assert.Equal(t, "alice", preflighted.Body, preflighted.Error)
		} else {
			assert.Contains(t, with.Error, "Failed to fetch")
			assert.Contains(t, preflighted.Error, "Failed to fetch")
		}
	}
}

func TestCORSPreflightsAreJudgedAsTheConfigSays(t *testing.T) {
	s := newCORSSite(t, corsx.Config{
		Methods: []string{"PUT", "PATCH"}, RequestHeaders: []string{"Authorization", "Content-Type", "X-One"}, MaxAge: -1,
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Method) }))
	tb := newTab(t)
	tb.open(s.app)
	for _, c := range []struct {
		allowed bool
		init    corsInit
	}{
		{true, corsInit{"method": "PUT"}},
		{true, corsInit{"method": "put"}}, // which browsers turn into PUT
		{true, corsInit{"method": "PATCH"}},
		{false, corsInit{"method": "patch"}}, // which they do not
		{false, corsInit{"method": "DELETE"}},
		{true, corsInit{"headers": corsInit{"authorization": "Bearer x"}}},
		{true, corsInit{"headers": corsInit{"X-ONE": "1", "Authorization": "Bearer x", "content-type": "application/json"}}},
		{false, corsInit{"headers": corsInit{"X-Two": "2"}}},
		{false, corsInit{"headers": corsInit{"X-One": "1", "X-Two": "2"}}},
		{true, corsInit{"method": "POST", "body": "{}", "headers": corsInit{"Content-Type": "application/json"}}},
	} {
		s.took()
		got := tb.corsFetch(s.api+"/x", c.init)
		seen := s.took()
		assert.Equal(t, "OPTIONS /x", seen[0], "%v", c.init)
		if c.allowed {
			assert.Equal(t, 200, got.Status, "%v: %s", c.init, got.Error)
			assert.Len(t, seen, 2, "%v", c.init)
		} else {
			assert.Contains(t, got.Error, "Failed to fetch", "%v", c.init)
			assert.Len(t, seen, 1, "%v: sent although refused", c.init)
		}
	}
}

func TestCORSOnePreflightServesAllMethodsAndHeadersUntilMaxAge(t *testing.T) {
	for _, c := range []struct {
		maxAge     time.Duration
		preflights int
	}{{time.Hour, 1}, {-1, 4}} {
		s := newCORSSite(t, corsx.Config{
			Methods: []string{"PUT", "DELETE"}, RequestHeaders: []string{"Authorization", "X-One"}, MaxAge: c.maxAge,
		}, corsPage)
		tb := newTab(t)
		tb.open(s.app)
		for _, init := range []corsInit{
			{"method": "PUT"},
			{"method": "DELETE"},
			{"method": "PUT", "headers": corsInit{"Authorization": "Bearer x"}},
			{"headers": corsInit{"X-One": "1"}},
		} {
			require.Equal(t, 200, tb.corsFetch(s.api+"/x", init).Status)
		}
		preflights := 0
		for _, line := range s.took() {
			if line == "OPTIONS /x" {
				preflights++
			}
		}
		assert.Equal(t, c.preflights, preflights)
	}
}

// A cache between the origins: Vary keeps one origin's answer from the other.
func TestCORSTheBrowsersCacheDoesNotMixOrigins(t *testing.T) {
	s := newCORSSite(t, corsx.Config{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		io.WriteString(w, "said")
	}))
	tb := newTab(t)
	tb.open(s.api + "/x") // stored without Access-Control-Allow-Origin
	tb.open(s.app)
	assert.Equal(t, "said", tb.corsFetch(s.api+"/x", nil).Body)
	tb.open(s.attacker)
	assert.Zero(t, tb.corsFetch(s.api+"/x", nil).Status)
	assert.Zero(t, tb.corsFetch(s.api+"/x", corsInit{"cache": "force-cache"}).Status)
	tb.open(s.app)
	assert.Equal(t, "said", tb.corsFetch(s.api+"/x", corsInit{"cache": "force-cache"}).Body)
}

func TestCORSEnforceRefusesForeignRequestsAndWebSocketsNotTheServicesOwn(t *testing.T) {
	var mu sync.Mutex
	var reached []string
	s := newCORSSite(t, corsx.Config{Enforce: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		reached = append(reached, r.Method+" "+r.URL.Path+" "+r.Header.Get("Origin")+" "+r.Header.Get("Sec-Fetch-Site"))
		mu.Unlock()
		if r.URL.Path == "/socket" {
			acceptWebSocket(t, w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Referrer-Policy", "no-referrer")
		io.WriteString(w, `<!doctype html><title>`+r.Method+`</title><form method=post action=/form></form>`)
	}))
	took := func() []string {
		mu.Lock()
		defer mu.Unlock()
		got := reached
		reached = nil
		return got
	}
	socket := `new Promise(done => {
		const ws = new WebSocket('wss` + s.api[len("https"):] + `/socket');
		ws.onopen = () => done('open'); ws.onerror = () => done('refused') })`
	form := `new Promise(done => {
		const f = document.createElement('iframe'); f.name = 'target'; document.body.append(f);
		const m = document.createElement('form'); m.method = 'post'; m.target = 'target'; m.action = '` + s.api + `/form';
		document.body.append(m); f.onload = () => done('loaded'); m.submit() })`
	tb := newTab(t)

	tb.open(s.attacker)
	assert.Contains(t, tb.corsFetch(s.api+"/x", nil).Error, "Failed to fetch")
	assert.Equal(t, "refused", eval[string](tb, socket))
	eval[string](tb, form)
	assert.Empty(t, took(), "none reaches the handler")
	eval[any](tb, `new Promise(done => { const i = new Image(); i.onerror = i.onload = () => done(1); i.src = '`+s.api+`/image' })`)
	assert.Len(t, took(), 1, "a request without Origin passes")

	tb.open(s.app)
	assert.Equal(t, 200, tb.corsFetch(s.api+"/x", nil).Status)
	assert.Equal(t, "open", eval[string](tb, socket))
	assert.Len(t, took(), 2)

	tb.open(s.api + "/page")
	assert.Equal(t, 200, tb.corsFetch(s.api+"/x", corsInit{"method": "POST"}).Status)
	assert.Equal(t, "open", eval[string](tb, socket))
	took()
	// Under Referrer-Policy: no-referrer a browser's own form says Origin: null.
	eval[any](tb, `(setTimeout(() => document.forms[0].submit()), null)`)
	tb.eventually(`document.title == 'POST'`)
	assert.Contains(t, took(), "POST /form null same-origin")
}

func acceptWebSocket(t *testing.T, w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	_, _ = conn.Write([]byte{0x88, 0})      // close
	_, _ = io.CopyN(io.Discard, conn, 1<<4) // until the browser has closed too
}

func TestCORSAllowLoopbackServesAnyPortOfADevelopersMachine(t *testing.T) {
	said := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "said") })
	cors, err := corsx.New(corsx.Config{AllowLoopback: true})
	require.NoError(t, err)
	api := "http://127.0.0.1:" + serve(t, cors.Handler(said))
	pages := serve(t, corsPage)
	tb := newTab(t)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		tb.open("http://" + host + ":" + pages)
		got := tb.corsFetch(api, nil)
		assert.Equal(t, "said", got.Body, got.Error)
	}
	tb.open("http://attacker.example:" + pages)
	assert.Zero(t, tb.corsFetch(api, nil).Status)
}
