package secheaders_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
	"github.com/gatehouse-go/gatehouse/secheaders"
)

// bothListener takes HTTP and HTTPS on one port, since the Observatory asks the
// same host:port for both: a TLS client begins with the byte 22.
type bothListener struct {
	net.Listener
	config *tls.Config
}

type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c peekedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func (l bothListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peeked := peekedConn{conn, bufio.NewReader(conn)}
		switch first, err := peeked.r.Peek(1); {
		case err != nil:
			conn.Close()
		case first[0] == 22:
			return tls.Server(peeked, l.config), nil
		default:
			return peeked, nil
		}
	}
}

// authority makes a certificate authority and one certificate for localhost.
func authority(t *testing.T) (caFile string, config *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the test's authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	require.NoError(t, err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"localhost"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, leafKey.Public(), key)
	require.NoError(t, err)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600))
	return caFile, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}}, MinVersion: tls.VersionTLS12}
}

// scores are what the package comment says of each preset; A+ begins at 100, what
// is above are extras.
var scores = map[string]struct {
	config secheaders.Config
	score  int
}{
	"Default":              {secheaders.Default(), 125},
	"Default with a nonce": {nonceConfig(), 125},
	"API":                  {secheaders.API(), 130},
	"OWASP":                {secheaders.OWASP(), 125},
	"FlutterWeb":           {secheaders.FlutterWeb(secheaders.FlutterOptions{}), 120},
	"FlutterWeb, CDN":      {secheaders.FlutterWeb(secheaders.FlutterOptions{CDN: true, Isolated: true}), 120},
}

// quickstart is examples/quickstart behind a proxy that ends TLS, as on a platform.
func quickstart(t *testing.T) http.Handler {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "quickstart")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../examples/quickstart").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), "PORT=0", "PLATFORM=heroku")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	target, err := url.Parse(strings.TrimSpace(line))
	require.NoError(t, err)
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}}
}

func TestObservatoryScores(t *testing.T) {
	tools, err := filepath.Abs("../tools/observatory")
	require.NoError(t, err)
	node := testenv.Command(t, "nodejs", "node")
	newer, err := filepath.Glob(tools + "/node/node_modules/node-linux-*/bin/node") // where the system's is too old
	require.NoError(t, err)
	if len(newer) > 0 {
		node = newer[0]
	}
	if _, err := os.Stat(filepath.Join(tools, "node_modules", ".installed")); err != nil {
		testenv.Missing(t, "the Observatory is not installed: tools/observatory/install does it (make deps too)")
	}
	caFile, config := authority(t)
	args, want := []string{"scan.mjs"}, map[string]int{"the quickstart": 125}
	scan := func(name string, h http.Handler) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		host := "localhost:" + port
		srv := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil {
				http.Redirect(w, r, "https://"+host+r.URL.Path, http.StatusPermanentRedirect)
				return
			}
			h.ServeHTTP(w, r)
		})
		go func() { _ = srv.Serve(bothListener{l, config}) }()
		t.Cleanup(func() { _ = srv.Close() })
		args = append(args, name+"="+host)
	}
	for name, s := range scores {
		want[name] = s.score
		scan(name, build(t, s.config).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				http.NotFound(w, r)
				return
			}
			_, _ = io.WriteString(w, `<!doctype html><html lang="en"><base href="/"><title>app</title>
				<link rel="stylesheet" href="app.css"><script type="module" src="app.js"></script>`)
		})))
	}
	scan("the quickstart", quickstart(t))
	plain := httptest.NewServer(build(t, secheaders.Config{}).Handler(nothing))
	t.Cleanup(plain.Close)
	args = append(args, "plain HTTP="+strings.Replace(plain.Listener.Addr().String(), "127.0.0.1", "localhost", 1))
	cmd := exec.CommandContext(t.Context(), node, args...)
	cmd.Dir, cmd.Stderr = tools, t.Output()
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+caFile)
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	var got map[string]struct {
		Grade  string
		Score  int
		Tests  map[string]any
		Policy []struct{ Severity, Directive, Value, Text string }
	}
	require.NoError(t, json.Unmarshal(out, &got), "%s", out)
	assert.Equal(t, 60, got["plain HTTP"].Score, fmt.Sprint(got["plain HTTP"].Tests))
	for name, score := range want {
		t.Logf("%s: %s %d %v", name, got[name].Grade, got[name].Score, got[name].Policy)
		assert.Equal(t, "A+", got[name].Grade, fmt.Sprint(name, got[name].Tests))
		assert.Equal(t, score, got[name].Score, fmt.Sprint(name, got[name].Tests))
		for _, f := range got[name].Policy {
			assert.NotContains(t, []string{"HIGH", "MEDIUM", "SYNTAX"}, f.Severity, "%s: %v", name, f)
		}
	}
}
