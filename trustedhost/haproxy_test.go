package trustedhost_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// The recipe of the package comment, with the program itself: HAProxy's plain
// "option httpchk" asks in HTTP/1.0 without Host.
func TestHAProxysHealthCheckPassesOnAnExemptPath(t *testing.T) {
	haproxy := testenv.Command(t, "haproxy", "haproxy")
	answers := make(chan string, 100)
	check := mustNew(t, trustedhost.Config{Hosts: []string{"example.com"}, ExemptPaths: []string{"/health"}}).
		Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		check.ServeHTTP(rec, r)
		w.WriteHeader(rec.Code)
		select {
		case answers <- fmt.Sprintf("%s %s %s %q: %d", r.Proto, r.Method, r.URL, r.Host, rec.Code):
		default:
		}
	}))
	defer srv.Close()

	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(config, []byte(`defaults
	mode http
	timeout connect 5s
	timeout client 5s
	timeout server 5s
listen probe
	bind `+testenv.FreeAddr(t)+`
	option httpchk GET /health
	server app `+srv.Listener.Addr().String()+` check inter 200ms
`), 0o600))
	cmd := exec.Command(haproxy, "-db", "-f", config)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	select {
	case got := <-answers:
		assert.Equal(t, `HTTP/1.0 GET /health "": 204`, got)
	case <-time.After(20 * time.Second):
		t.Fatal("HAProxy has not asked")
	}
}
