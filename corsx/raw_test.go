package corsx_test

import (
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// raw sends the lines as they are and returns the bytes of the answer.
func raw(t *testing.T, srv *httptest.Server, lines ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	return strings.ReplaceAll(string(answer), "Connection: close\r\n", "")
}

func TestOverARealSocket(t *testing.T) {
	srv := httptest.NewServer(build(t, usual()).Handler(teapot))
	defer srv.Close()
	const (
		acrm = "Access-Control-Request-Method: "
		acrh = "Access-Control-Request-Headers: "
	)
	for _, c := range []struct {
		what   string
		status string
		shared bool
		lines  []string
	}{
		{"plain", "418", false, []string{"GET / HTTP/1.1"}},
		{"allowed", "418", true, []string{"GET / HTTP/1.1", "Origin: " + app}},
		{"odd case of the name", "418", true, []string{"GET / HTTP/1.1", "oRIGIN: " + app}},
		{"white space around the value", "418", true, []string{"GET / HTTP/1.1", "Origin: \t " + app + " \t"}},
		{"upper-case scheme", "418", false, []string{"GET / HTTP/1.1", "Origin: HTTPS://app.example.com"}},
		{"two lines, the same", "418", false, []string{"GET / HTTP/1.1", "Origin: " + app, "Origin: " + app}},
		{"two lines, the good one first", "418", false, []string{"GET / HTTP/1.1", "Origin: " + app, "Origin: " + attacker}},
		{"two lines, the bad one first", "418", false, []string{"GET / HTTP/1.1", "Origin: " + attacker, "origin: " + app}},
		{"two lines, one empty", "418", false, []string{"GET / HTTP/1.1", "Origin:", "Origin: " + app}},
		{"empty", "418", false, []string{"GET / HTTP/1.1", "Origin:"}},
		{"joined by a comma", "418", false, []string{"GET / HTTP/1.1", "Origin: " + app + ", " + app}},
		{"joined by a space", "418", false, []string{"GET / HTTP/1.1", "Origin: " + app + " " + attacker}},
		{"folded line, which net/http unfolds", "418", true, []string{"GET / HTTP/1.1", "Origin:", " " + app}},
		{"null", "418", false, []string{"GET / HTTP/1.1", "Origin: null"}},
		{"HTTP/1.0", "418", true, []string{"GET / HTTP/1.0", "Origin: " + app}},
		{"preflight", "204", true, []string{"OPTIONS / HTTP/1.1", "Origin: " + app, acrm + "PUT", acrh + "authorization"}},
		{"preflight, odd case of the names", "204", true, []string{"OPTIONS / HTTP/1.1", "ORIGIN: " + app, "access-control-REQUEST-method: PUT", "ACCESS-CONTROL-REQUEST-HEADERS: AUTHORIZATION"}},
		{"preflight, names over several lines", "204", true, []string{"OPTIONS / HTTP/1.1", "Origin: " + app, acrm + "PUT", acrh + "content-type ,", acrh, acrh + "\tAuthorization"}},
		{"preflight, a name too many on the last line", "403", false, []string{"OPTIONS / HTTP/1.1", "Origin: " + app, acrm + "PUT", acrh + "content-type", acrh + "x-other"}},
		{"preflight, lower-case method", "403", false, []string{"OPTIONS / HTTP/1.1", "Origin: " + app, acrm + "put"}},
		{"preflight, two methods", "403", false, []string{"OPTIONS / HTTP/1.1", "Origin: " + app, acrm + "PUT", acrm + "DELETE"}},
		{"preflight, the same method twice", "403", false, []string{"OPTIONS / HTTP/1.1", "Origin: " + app, acrm + "PUT", acrm + "PUT"}},
		{"preflight, joined methods", "403", false, []string{"OPTIONS / HTTP/1.1", "Origin: " + app, acrm + "PUT, DELETE"}},
		{"preflight, empty method", "403", false, []string{"OPTIONS / HTTP/1.1", "Origin: " + app, acrm}},
		{"preflight, two origins", "403", false, []string{"OPTIONS / HTTP/1.1", "Origin: " + app, "Origin: " + app, acrm + "PUT"}},
		{"preflight, foreign", "403", false, []string{"OPTIONS / HTTP/1.1", "Origin: " + attacker, acrm + "PUT"}},
		{"preflight without Origin", "418", false, []string{"OPTIONS / HTTP/1.1", acrm + "PUT"}},
		{"options", "418", true, []string{"OPTIONS / HTTP/1.1", "Origin: " + app}},
		{"options in lower case is another method", "418", true, []string{"options / HTTP/1.1", "Origin: " + app, acrm + "PUT"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			got := raw(t, srv, append(c.lines, "Host: api.example.com")...)
			assert.Equal(t, "HTTP/1.1 "+c.status, strings.Replace(got[:12], "HTTP/1.0", "HTTP/1.1", 1))
			assert.Equal(t, c.shared, strings.Contains(got, "Access-Control-Allow-Origin: "+app+"\r\n"), got)
			assert.NotContains(t, got, attacker)
			assert.LessOrEqual(t, strings.Count(got, "Access-Control-Allow-Origin"), 1)
			assert.Contains(t, got, "\r\nVary: Origin")
		})
	}
}

func TestAnAnswerOfAMegabyteIsNeverMadeOfAMegabyteOfRequest(t *testing.T) {
	srv := httptest.NewUnstartedServer(build(t, usual()).Handler(teapot))
	srv.Config.MaxHeaderBytes = 4 << 20
	srv.Start()
	defer srv.Close()
	for _, lines := range [][]string{
		{"Origin: https://" + strings.Repeat("a", 1<<20), "Access-Control-Request-Method: PUT"},
		{"Origin: " + app, "Access-Control-Request-Method: " + strings.Repeat("P", 1<<20)},
		{"Origin: " + app, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: " + strings.Repeat(",", 1<<20)},
		{"Origin: " + app, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: " + strings.Repeat("authorization,", 1<<16)},
	} {
		got := raw(t, srv, append([]string{"OPTIONS / HTTP/1.1", "Host: x"}, lines...)...)
		assert.Contains(t, got, "HTTP/1.1 403 ")
		assert.Less(t, len(got), 1024)
	}
}
