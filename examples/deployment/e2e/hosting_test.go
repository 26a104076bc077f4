package e2e_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/hosting"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/hosting/hosttest"
)

// The frontend and the API on two sites: not even their domain is the same.
const (
	appOrigin = "https://app.example.com"
	apiOrigin = "https://api.example.net"
)

// siteOf runs the program's own command and reads what it wrote.
func siteOf(t *testing.T, host string, env ...string) map[string][]byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site")
	out, err := runIn(t, t.TempDir(), env, "hosting", host, apiOrigin, dir)
	require.NoError(t, err, out)
	site := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		site[filepath.ToSlash(rel)], err = os.ReadFile(name)
		return err
	}))
	return site
}

// apart starts the program as the API of the profile for separate hosting, and the
// frontend on its host, both behind TLS. The tab is on the frontend.
func apart(t *testing.T, host string, env ...string) (p *program, open func() *tab) {
	t.Helper()
	profile, err := os.ReadFile("../frontend/hosting/api.env")
	require.NoError(t, err)
	for line := range strings.Lines(string(profile)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			env = append(env, strings.NewReplacer("https://api.example.com", apiOrigin).Replace(line))
		}
	}
	path := chromiumPath(t)
	p = start(t, t.TempDir(), env...)
	site, err := hosttest.New(host, siteOf(t, host))
	require.NoError(t, err)
	front := httptest.NewTLSServer(site)
	t.Cleanup(front.Close)
	to, err := url.Parse(p.url)
	require.NoError(t, err)
	api := httptest.NewTLSServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
	})
	t.Cleanup(api.Close)
	t.Cleanup(api.CloseClientConnections)
	browser, stop, err := newChromium(path, "MAP app.example.com:443 "+front.Listener.Addr().String()+
		", MAP attacker.example:443 "+front.Listener.Addr().String()+
		", MAP api.example.net:443 "+api.Listener.Addr().String()+", MAP * ~NOTFOUND",
		chromedp.Flag("ignore-certificate-errors", true))
	t.Cleanup(stop)
	require.NoError(t, err)
	return p, func() *tab {
		tb := p.tabIn(browser)
		tb.origin = appOrigin
		return tb
	}
}

// cookies are the names of all that the browser keeps for the tab's profile.
func (tb *tab) cookies() (names []string) {
	tb.t.Helper()
	tb.run(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		all, err := chromedp.Call(ctx, storage.GetCookies, storage.GetCookiesParams{})
		for _, c := range all.Cookies {
			names = append(names, c.Domain+" "+c.Name)
		}
		return err
	}))
	return names
}

func TestTheFrontendOnAnotherSite(t *testing.T) {
	t.Parallel()
	p, open := apart(t, "cloudflare", "RATE_LIMIT_DEFAULT=60/minute", "STREAM_MAX=700ms")
	tb := open()
	tb.open("/")
	tb.until(heading("Come in."))
	tb.login("google", "ada", "/threads")
	assert.Equal(t, appOrigin, eval[string](tb, `location.origin`))
	assert.Empty(t, eval[string](tb, `location.search + location.hash`), "the code has left the address bar")
	assert.Empty(t, tb.cookies(), "that of the login is gone, and there is no other")

	tb.send("#new-thread", "far away") // a preflight, then the POST
	tb.until(heading("far away"))
	path := eval[string](tb, `location.pathname`)
	question := long(60)
	tb.send("#message", question)
	tb.until(`document.querySelector('.message.assistant[aria-busy] .text')?.textContent.length > 20`) // as it comes
	tb.shown(question)                                                                                 // over several connections, each with a Last-Event-ID
	assert.Equal(t, 1, p.questions())
	tb.open(path) // a deep link
	tb.until(heading("far away") + ` && document.querySelector('.message.assistant .text')?.textContent`)

	// No name but the API's may be asked, whatever a script tries.
	tb.quiet()
	assert.True(t, eval[bool](tb, `fetch('https://attacker.example/').then(() => false, () => true)`))
	tb.until(`self.__violations.some((v) => v.startsWith('connect-src https://attacker.example'))`)

	// A refusal can be read over here, with the time to wait.
	tb.open("/stack")
	tb.until(`document.querySelectorAll('.facts').length === 2`)
	tb.click("#until-refused")
	tb.until(`document.querySelector('.failure h2')?.textContent === 'Too many requests'`)
	assert.Regexp(t, `^You can try again in \d+ seconds?\.$`, eval[string](tb, `document.querySelector('.failure .wait .hidden').textContent`))
	assert.Regexp(t, `^Your (account|address) has sent`, eval[string](tb, `document.querySelector('.failure p').textContent`))
	assert.Regexp(t, `of 60 requests left`, eval[string](tb, `document.querySelector('.last').innerText`))
	assert.Empty(t, tb.cookies())

	// A page of any other origin learns nothing, not even with a token.
	stranger := open()
	stranger.origin = "https://attacker.example"
	stranger.open("/stack")
	token := eval[string](tb, `JSON.parse(sessionStorage.getItem('gatehouse.session')).token`)
	for _, request := range []string{`'/auth/providers'`, `'/api/threads', {headers: {Authorization: 'Bearer ` + token + `'}}`, `'/auth/refresh', {method: 'POST', credentials: 'include'}`} {
		assert.Equal(t, "TypeError", eval[string](stranger, `fetch('`+apiOrigin+`' + `+request+`).then((r) => r.text(), (e) => e.name)`), request)
	}
	assert.NotContains(t, p.text(), `"level":"ERROR"`)
}

// What the host sends with the app is what the server itself would send, over
// HTTPS; but the policy names the API.
func TestTheHeadersForAnotherHostAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	for name, static := range map[string]string{"the embedded app": "", "a Flutter build": flutterBuild(t)} {
		dir := t.TempDir()
		p := start(t, dir, "ENVIRONMENT=production", "DATABASE_URL=sqlite:///"+dir+"/app.db", "PLATFORM=railway", "BACKEND_URL=https://app.example.com",
			"SECRET_KEY=f7Kq2pLz9XwR4tVn8bYc3mHd6sJg1aQe5uTi0oEr", "GOOGLE_CLIENT_ID=client-id-of-google",
			"GOOGLE_CLIENT_SECRET=GOCSPX-staple-of-google", "ALLOW_EPHEMERAL_SQLITE=true", "DRAIN_DELAY=0s", "STATIC_DIR="+static)
		c := p.client()
		edge := set(map[string]string{"Host": "app.example.com", "X-Forwarded-Proto": "https", "X-Real-IP": "192.0.2.7", "Sec-Fetch-Dest": "document"})
		for _, host := range hosting.Hosts() {
			site := siteOf(t, host, "STATIC_DIR="+static)
			theirs, err := hosttest.New(host, site)
			require.NoError(t, err)
			server := httptest.NewTLSServer(theirs)
			paths := []string{"/", "/threads/0198", "/auth/callback", "/gone.js"}
			for file := range site {
				if strings.HasSuffix(file, ".js") || strings.HasSuffix(file, ".css") || strings.HasSuffix(file, ".wasm") {
					paths = append(paths, "/"+file)
				}
			}
			for _, path := range paths {
				want := c.do("GET", path, nil, edge)
				got, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}).Get(server.URL + path)
				require.NoError(t, err)
				_ = got.Body.Close()
				what := strings.Join([]string{name, host, path}, " ")
				assert.Equal(t, want.StatusCode, got.StatusCode, what)
				seen := 0
				for field := range want.Header {
					switch field {
					case "Content-Security-Policy":
						assert.Equal(t, withoutConnect(want.Header.Get(field)), withoutConnect(got.Header.Get(field)), what)
						assert.Contains(t, got.Header.Get(field), "connect-src 'self' "+apiOrigin+";")
					case "Date", "Content-Length", "Content-Type", "Etag", "Vary", "Accept-Ranges", "X-Correlation-Id", "Ratelimit", "Ratelimit-Policy", "Cache-Control":
					default:
						assert.Equal(t, want.Header.Values(field), got.Header.Values(field), "%s: %s", what, field)
						seen++
					}
				}
				assert.GreaterOrEqual(t, seen, 9, "the security headers")
				assert.Empty(t, got.Header.Values("Access-Control-Allow-Origin"), what)
				assert.Equal(t, strings.Contains(want.Header.Get("Cache-Control"), "immutable"), strings.Contains(got.Header.Get("Cache-Control"), "immutable"), what)
			}
			server.Close()
		}
		p.end(os.Interrupt)
	}
}

func withoutConnect(policy string) string {
	var kept []string
	for d := range strings.SplitSeq(policy, "; ") {
		if !strings.HasPrefix(d, "connect-src ") {
			kept = append(kept, d)
		}
	}
	return strings.Join(kept, "; ")
}
