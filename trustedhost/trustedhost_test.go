package trustedhost_test

import (
	"github.com/gatehouse-go/gatehouse/internal/mwtest"
	"github.com/gatehouse-go/gatehouse/trustedhost"
	"github.com/stretchr/testify/require"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSuite(t *testing.T) {
	mwtest.Run(t, mwtest.Suite{
		New: func(t testing.TB) (mwtest.Middleware, func()) {
			hosts := []string{"127.0.0.1", "app.example.com"}
			paths := []string{"/health"}
			mw, err := trustedhost.New(trustedhost.Config{Hosts: hosts, ExemptPaths: paths})
			require.NoError(t, err)
			return mw.Handler, func() { hosts[0], hosts[1], paths[0] = "x.example", "attacker.example", "/" }
		},
		Reject: func() *http.Request { return httptest.NewRequest("GET", "http://attacker.example/", nil) },
	})
}
