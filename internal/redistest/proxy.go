package redistest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Proxy stands between a client and a server and fails on demand. The fields
// may be set at any time.
type Proxy struct {
	Addr string

	// DropReplies lets requests through and swallows what comes back.
	DropReplies atomic.Bool
	// DropRequests swallows what the client sends; with DropReplies, the network
	// is parted: no connection breaks, and nothing arrives.
	DropRequests atomic.Bool
	// Delay holds every reply back, in nanoseconds.
	Delay atomic.Int64
	// CutReplies closes the connection instead of passing a reply on.
	CutReplies atomic.Bool
	// Requests counts what the client has written, Accepted its connections.
	Requests, Accepted atomic.Int64

	target   string
	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]bool
	closed   bool
	wg       sync.WaitGroup
}

// StartProxy starts a proxy to the address. It ends with the test.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, conns: map[net.Conn]bool{}}
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.CutAll()
		p.wg.Wait()
	})
	return p
}

// CutAll closes every connection.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	defer p.wg.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.Accepted.Add(1)
		server, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(client, server) {
			_ = client.Close()
			continue
		}
		p.wg.Add(2)
		go p.pump(server, client, func() bool { p.Requests.Add(1); return !p.DropRequests.Load() })
		go p.pump(client, server, p.reply)
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.closed {
			_ = c.Close()
		}
		p.conns[c] = true
	}
	return !p.closed
}

// reply tells whether a reply is to be passed on; it cuts by closing all.
func (p *Proxy) reply() bool {
	time.Sleep(time.Duration(p.Delay.Load()))
	if p.CutReplies.Load() {
		p.CutAll()
		return false
	}
	return !p.DropReplies.Load()
}

// pump copies what pass lets through, and closes both ends after either.
func (p *Proxy) pump(to io.WriteCloser, from net.Conn, pass func() bool) {
	defer p.wg.Done()
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && pass() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
