package browsertest_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheBrowserSeesAPageAndReportsAViolation(t *testing.T) {
	port := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		io.WriteString(w, "<!doctype html><title>t</title><p>hello</p><script>document.title='ran'</script>")
	}))
	tb := newTab(t)
	tb.open("http://app.example:" + port + "/")
	require.Equal(t, "hello", eval[string](tb, `document.querySelector('p').textContent`))
	require.Equal(t, "t", eval[string](tb, `document.title`))
	require.Len(t, tb.violations(), 1)
	require.Equal(t, "script-src-elem", tb.violations()[0].Directive)
}
