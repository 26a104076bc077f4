//go:build linux

package main

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOneAddressCannotHaveAllConnections: connections that say nothing, which cost
// their sender nothing.
func TestOneAddressCannotHaveAllConnections(t *testing.T) {
	t.Parallel()
	r := start(t, "replicas", options{})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 3, 40, 1)}}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range 300 {
		c, err := dialer.DialContext(t.Context(), "tcp", r.front.https)
		if err == nil { // else it was closed so soon
			conns = append(conns, c)
		}
	}
	time.Sleep(time.Second)
	open := 0
	for open < len(conns) {
		c := conns[open]
		require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			open++
			continue
		}
		c.Close()
		conns = append(conns[:open], conns[open+1:]...)
	}
	assert.Equal(t, 200, open)
	a := r.client("127.3.40.2").do("GET", "/health", nil)
	assert.Equal(t, 200, a.StatusCode, "everybody else is served")
	_, err := r.client("127.3.40.1").try("GET", "/health", nil)
	require.Error(t, err)
	for _, c := range conns {
		c.Close()
	}
	assert.EventuallyWithT(t, func(t *assert.CollectT) {
		a, err := r.client("127.3.40.1").try("GET", "/health", nil)
		if assert.NoError(t, err) {
			assert.Equal(t, 200, a.StatusCode)
		}
	}, 5*time.Second, 100*time.Millisecond)
}
