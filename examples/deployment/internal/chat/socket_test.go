package chat

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

// TestTheServersTimeoutsDoNotCutAStream has a real server with timeouts far
// shorter than the answer, and reads two streams on one connection.
func TestTheServersTimeoutsDoNotCutAStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replica(counts(15, 100*time.Millisecond))
	srv := httptest.NewUnstartedServer(r.mux)
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	srv.Start()
	defer srv.Close()
	for _, accept := range []string{"text/event-stream", "application/json", "text/event-stream"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/api/threads/"+w.thread("ada")+"/chat", strings.NewReader(`{"content":"x"}`))
		require.NoError(t, err)
		req.Header.Set("X-User", "ada")
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", accept)
		resp, err := srv.Client().Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		if accept == "application/json" {
			assert.Contains(t, string(body), said(15))
		} else {
			assert.True(t, strings.HasPrefix(string(body), "retry: 1000\n\nevent: message\ndata: {"), string(body))
			assert.Contains(t, string(body), "event: done\n")
		}
	}
}

// TestAConnectionThatIsGoneIsNoticed: a client that closes its connection, also
// one that sent its body in chunks, is no reader any more.
func TestAConnectionThatIsGoneIsNoticed(t *testing.T) {
	for name, chunked := range map[string]bool{"a body with its length": false, "a body in chunks": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replica(counts(1, time.Minute))
			srv := httptest.NewServer(r.mux)
			defer srv.Close()
			thread := w.thread("ada")
			var body io.Reader = strings.NewReader(`{"content":"x"}`)
			if chunked {
				body = io.MultiReader(body)
			}
			req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/api/threads/"+thread+"/chat", body)
			require.NoError(t, err)
			req.Header.Set("X-User", "ada")
			req.Header.Set("Content-Type", "application/json")
			resp, err := srv.Client().Do(req)
			require.NoError(t, err)
			_, err = bufio.NewReader(resp.Body).ReadString('\n')
			require.NoError(t, err)
			id := w.messages("ada", thread)[1].ID
			r.mu.Lock()
			a := r.live[id]
			r.mu.Unlock()
			assert.False(t, a.alone())
			require.NoError(t, resp.Body.Close())
			require.Eventually(t, a.alone, 5*time.Second, 10*time.Millisecond)
			a.stop(errStopped)
			require.Eventually(t, func() bool { return w.messages("ada", thread)[1].State == data.Stopped }, 5*time.Second, 10*time.Millisecond)
		})
	}
}
