//go:build linux

package forwarded_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/forwarded"
	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// All of 127.0.0.0/8 is this machine on Linux, so everybody has an own address.
const (
	theClient  = "127.0.0.2"
	theHAProxy = "127.0.0.10"
	theNginx   = "127.0.0.11"
)

// answer is what the application behind the proxies found out.
type answer struct {
	Peer     string
	ClientIP map[string]string // by policy
	HTTPS    map[string]bool
	Host     map[string]string
	RHost    string
	Header   http.Header
}

var (
	ours     = prefixes(theHAProxy+"/32", theNginx+"/32")
	policies = map[string]forwarded.Config{
		"none":    {},
		"trusted": {Proxies: ours, ProtoHeader: "X-Forwarded-Proto", HostHeader: "X-Forwarded-Host"},
		"rfc7239": {Proxies: ours, RFC7239: true, ProtoHeader: "Forwarded"},
		"hops":    {Hops: 1, InsecureAnyPeer: true, ProtoHeader: "X-Forwarded-Proto"},
		"hops2":   {Hops: 2, Proxies: ours, ProtoHeader: "X-Forwarded-Proto"},
		"header":  {Header: "X-Real-IP", Proxies: ours},
	}
)

// application answers with what each policy finds out.
func application(t *testing.T) string {
	t.Helper()
	resolvers := map[string]*forwarded.Resolver{}
	for name, c := range policies {
		resolvers[name] = resolver(t, c)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answer{
			Peer: netip.MustParseAddrPort(r.RemoteAddr).Addr().String(), RHost: r.Host, Header: r.Header,
			ClientIP: map[string]string{}, HTTPS: map[string]bool{}, Host: map[string]string{},
		}
		for name, v := range resolvers {
			a.ClientIP[name], a.HTTPS[name], a.Host[name] = v.ClientIP(r).String(), v.HTTPS(r), v.Host(r)
		}
		_ = json.NewEncoder(w).Encode(a)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// front is a running proxy.
type front struct{ plain, tls string }

// start runs a proxy in the foreground until the test ends.
func start(t *testing.T, f front, log string, path string, args ...string) front {
	t.Helper()
	out, err := os.Create(log)
	require.NoError(t, err)
	defer out.Close()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	deadline := time.Now().Add(10 * time.Second)
	for _, addr := range []string{f.plain, f.tls} {
		for {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case <-ended:
			case <-time.After(20 * time.Millisecond):
				if time.Now().Before(deadline) {
					continue
				}
			}
			text, _ := os.ReadFile(log)
			t.Fatalf("%s does not listen on %s:\n%s", path, addr, text)
		}
	}
	return f
}

// certificate writes the key pair of net/http/httptest, which is its own CA, and
// returns the file and the pool that trusts it.
func certificate(t *testing.T, dir string) (file string, pool *x509.CertPool) {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	pair := srv.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	var text []byte
	for _, der := range pair.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	file = filepath.Join(dir, "pair.pem")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	pool = x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return file, pool
}

// haproxy adds a line of its own for X-Forwarded-For and for Forwarded, and
// overwrites the rest. Where inner, it passes on the scheme and the host that the
// outer proxy reported.
func haproxy(t *testing.T, upstream, pair string, inner bool) front {
	t.Helper()
	path := testenv.Command(t, "haproxy", "haproxy")
	dir := t.TempDir()
	f := front{plain: testenv.FreeAddr(t), tls: testenv.FreeAddr(t)}
	own := `
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Real-IP %[src]`
	if inner {
		own = ""
	}
	config := fmt.Sprintf(`
global
  maxconn 100
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend f
  bind %s
  bind %s ssl crt %s alpn h2,http/1.1
  option forwardfor%s
  http-request add-header Forwarded for=%%[src];proto=https if { ssl_fc }
  http-request add-header Forwarded for=%%[src];proto=http if !{ ssl_fc }
  default_backend b
backend b
  source %s
  server app %s
`, f.plain, f.tls, pair, own, theHAProxy, upstream)
	file := filepath.Join(dir, "haproxy.cfg")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	return start(t, f, filepath.Join(dir, "log"), path, "-db", "-f", file)
}

// nginx appends to the client's X-Forwarded-For and Forwarded in one line. Its
// Host is that of the upstream unless it is told otherwise.
func nginx(t *testing.T, upstream, pair string, inner bool) front {
	t.Helper()
	path := testenv.Command(t, "nginx-light", "nginx")
	dir := t.TempDir()
	f := front{plain: testenv.FreeAddr(t), tls: testenv.FreeAddr(t)}
	own := `
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Real-IP $remote_addr;`
	if inner {
		own = ""
	}
	config := fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c;
  uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  server {
    listen %[2]s;
    listen %[3]s ssl http2;
    ssl_certificate %[4]s;
    ssl_certificate_key %[4]s;
    location / {
      proxy_pass http://%[5]s;
      proxy_bind %[6]s;
      proxy_http_version 1.1;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Forwarded "$http_forwarded, for=$remote_addr;proto=$scheme";%[7]s
    }
  }
}
`, dir, f.plain, f.tls, pair, upstream, theNginx, own)
	file := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	return start(t, f, filepath.Join(dir, "log"), path, "-e", "stderr", "-p", dir, "-c", file)
}

// forgeries are the headers of the hostile client: each of them names another
// trusted address, another client, the wrong scheme and the wrong host.
func forgeries(scheme string) http.Header {
	return http.Header{
		"X-Forwarded-For":   {"198.51.100.1", "198.51.100.2, " + theNginx, theHAProxy},
		"Forwarded":         {"for=198.51.100.1;proto=" + scheme, `for=` + theHAProxy + `;proto=` + scheme + `;ext="`},
		"X-Real-Ip":         {"198.51.100.1"},
		"X-Forwarded-Proto": {scheme},
		"X-Forwarded-Host":  {"attacker.example"},
	}
}

// ask sends the request from the client's address over the protocol.
func ask(t *testing.T, url, host, proto string, pool *x509.CertPool, h http.Header) answer {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(theClient)}, Timeout: 5 * time.Second}
	tr := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: proto == "HTTP/2.0"}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header, req.Host = h, host
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	require.Equal(t, proto, resp.Proto)
	var a answer
	require.NoError(t, json.Unmarshal(body, &a))
	return a
}

func TestBehindOneRealProxyAForgingClientIsFound(t *testing.T) {
	pair, pool := certificate(t, t.TempDir())
	for name, run := range map[string]func(*testing.T, string, string, bool) front{"HAProxy": haproxy, "nginx": nginx} {
		t.Run(name, func(t *testing.T) {
			f := run(t, application(t), pair, false)
			peer := map[string]string{"HAProxy": theHAProxy, "nginx": theNginx}[name]
			for _, c := range []struct {
				url, proto string
				https      bool
			}{
				{"http://" + f.plain, "HTTP/1.1", false},
				{"https://" + f.tls, "HTTP/1.1", true},
				{"https://" + f.tls, "HTTP/2.0", true},
			} {
				t.Run(c.url[:5]+" "+c.proto, func(t *testing.T) {
					lie := map[bool]string{true: "http", false: "https"}[c.https]
					for _, h := range []http.Header{{}, forgeries(lie)} {
						a := ask(t, c.url, "shop.example", c.proto, pool, h)
						assert.Equal(t, peer, a.Peer)
						assert.Equal(t, peer, a.ClientIP["none"], "trusts nobody")
						for _, policy := range []string{"trusted", "rfc7239", "hops", "header"} {
							assert.Equal(t, theClient, a.ClientIP[policy], "%s\n%v", policy, a.Header)
						}
						for _, policy := range []string{"trusted", "rfc7239", "hops"} {
							assert.Equal(t, c.https, a.HTTPS[policy], "%s\n%v", policy, a.Header)
						}
						if name == "HAProxy" && len(h) > 0 {
							assert.Equal(t, "198.51.100.1", a.Header.Get("X-Forwarded-For"), "what a naive server reads")
						}
						assert.False(t, a.HTTPS["none"])
						assert.Equal(t, "shop.example", a.Host["trusted"])
						if name == "nginx" {
							assert.NotEqual(t, "shop.example", a.RHost, "nginx sends the upstream's address unless told otherwise")
						} else {
							assert.Equal(t, "shop.example", a.RHost)
						}
					}
				})
			}
		})
	}
}

func TestBehindTwoRealProxiesAForgingClientIsFound(t *testing.T) {
	pair, pool := certificate(t, t.TempDir())
	for name, run := range map[string]func(*testing.T) (front, string){
		"HAProxy, then nginx": func(t *testing.T) (front, string) {
			return haproxy(t, nginx(t, application(t), pair, true).plain, pair, false), theNginx
		},
		"nginx, then HAProxy": func(t *testing.T) (front, string) {
			return nginx(t, haproxy(t, application(t), pair, true).plain, pair, false), theHAProxy
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, peer := run(t)
			for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
				for _, h := range []http.Header{{}, forgeries("http")} {
					a := ask(t, "https://"+f.tls, "shop.example", proto, pool, h)
					assert.Equal(t, peer, a.Peer)
					for _, policy := range []string{"trusted", "hops2"} {
						assert.Equal(t, theClient, a.ClientIP[policy], "%s %s\n%v", proto, policy, a.Header)
						assert.True(t, a.HTTPS[policy], "%s %s\n%v", proto, policy, a.Header)
					}
					if strings.Contains(strings.Join(a.Header["Forwarded"], ","), "for="+theClient) {
						// The outer one's element, not the inner one's, which saw plain
						// HTTP. (nginx before 1.23 drops it: see the package comment.)
						assert.Equal(t, theClient, a.ClientIP["rfc7239"], "%s\n%v", proto, a.Header)
						assert.True(t, a.HTTPS["rfc7239"], "%s\n%v", proto, a.Header)
					} else {
						assert.Equal(t, theNginx, peer, "HAProxy keeps all lines: %v", a.Header)
					}
					assert.Equal(t, "shop.example", a.Host["trusted"])
				}
			}
		})
	}
}

// The client that goes around the proxy is why Proxies is the better policy, and
// why InsecureAnyPeer has its name.
func TestAClientThatGoesAroundTheProxyForgesOnlyWhereAnyPeerIsBelieved(t *testing.T) {
	h := http.Header{"X-Forwarded-For": {"198.51.100.1"}, "X-Forwarded-Proto": {"https"}, "X-Real-Ip": {"198.51.100.1"}}
	a := ask(t, "http://"+application(t), "shop.example", "HTTP/1.1", nil, h)
	for policy, want := range map[string]string{
		"none": theClient, "trusted": theClient, "hops2": theClient, "header": theClient,
		"hops": "198.51.100.1", // InsecureAnyPeer: the attack
	} {
		assert.Equal(t, want, a.ClientIP[policy], policy)
		assert.Equal(t, policy == "hops", a.HTTPS[policy], policy)
	}
}

// "Connection" may name fields for the proxy to remove (RFC 9110, section 7.6.1).
// A proxy that obeys after it has added its own would hide the client; none may
// let it choose an address.
func TestAClientThatHasTheProxyRemoveHeadersIsStillFound(t *testing.T) {
	pair, _ := certificate(t, t.TempDir())
	for name, run := range map[string]func(*testing.T, string, string, bool) front{"HAProxy": haproxy, "nginx": nginx} {
		t.Run(name, func(t *testing.T) {
			f := run(t, application(t), pair, false)
			a, status := raw(t, f.plain, `GET / HTTP/1.1
Host: shop.example
Connection: close, X-Forwarded-For, X-Real-IP, X-Forwarded-Proto, Forwarded
X-Forwarded-For: 198.51.100.1
X_Forwarded_For: 198.51.100.1
Forwarded: for=198.51.100.1
`)
			require.Equal(t, http.StatusOK, status)
			for _, policy := range []string{"trusted", "hops", "header", "rfc7239"} {
				assert.Equal(t, theClient, a.ClientIP[policy], "%s\n%v", policy, a.Header)
			}
		})
	}
}

// A space before the colon is refused, as RFC 9112, section 5.1, demands, or at
// least read as no other header.
func TestAMisspelledHeaderIsNotTheHeader(t *testing.T) {
	pair, _ := certificate(t, t.TempDir())
	for name, run := range map[string]func(*testing.T, string, string, bool) front{"HAProxy": haproxy, "nginx": nginx} {
		t.Run(name, func(t *testing.T) {
			f := run(t, application(t), pair, false)
			a, status := raw(t, f.plain, "GET / HTTP/1.1\nHost: shop.example\nConnection: close\nX-Forwarded-For : 198.51.100.1\nX-Real-IP : 198.51.100.1\n")
			if status != http.StatusBadRequest {
				for _, policy := range []string{"trusted", "hops", "header", "rfc7239"} {
					assert.Equal(t, theClient, a.ClientIP[policy], "%s\n%v", policy, a.Header)
				}
			}
		})
	}
}

// raw sends the head, byte by byte as it is but for its line ends.
func raw(t *testing.T, addr, head string) (a answer, status int) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(theClient)}, Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = io.WriteString(conn, strings.ReplaceAll(head+"\n", "\n", "\r\n"))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&a))
	}
	return a, resp.StatusCode
}
