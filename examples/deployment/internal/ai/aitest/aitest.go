// Package aitest holds fakes of the vendors: HTTP servers on loopback that speak
// their wire formats, with every fault that a caller has to survive.
//
//	vendor := aitest.New(t, ai.Anthropic)
//	p, err := ai.New(ai.Settings{Anthropic: vendor.Endpoint()}, nil)
//	vendor.Set(aitest.Script{Fault: aitest.CutAfterText})
//
// It is a package like any other, so that tests of other packages and runnable
// profiles can use it: Start needs no test.
package aitest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
)

// What Endpoint returns.
const (
	Key   = "test-key-0123456789abcdef"
	Model = "test-model"
)

// Input is what a whole answer reports as its cost, beside one token for each piece.
const Input = 12

// Script is how requests are answered, until the next Set.
type Script struct {
	// Pieces of the text; nil: "Hello", ", ", "world", "!".
	Pieces []string
	// Delay before each piece.
	Delay time.Duration
	// Stop is the vendor's stop reason; empty: the one of a whole answer.
	Stop  string
	Fault Fault
	// RetryAfter is the header of RateLimited and Overloaded; empty: none.
	RetryAfter string
	// RedirectTo is the Location of Redirected.
	RedirectTo string

	// How the stream is written.
	EveryByte bool   // each byte by itself
	EOL       string // of the lines; empty: "\n", for Gemini "\r\n"
	Noise     bool   // comments, thoughts, foreign events and fields, data in several lines
}

// Request is one that came.
type Request struct {
	Method, URI string
	Header      http.Header
	Body        []byte
}

// Server is a fake of one vendor. It is safe for concurrent use.
type Server struct {
	// URL is the base URL, like "http://127.0.0.1:40001".
	URL    string
	Vendor string

	server *http.Server
	closed chan struct{}

	mu       sync.Mutex
	script   Script
	requests []Request
	open     int
}

// Start runs a fake of ai.Anthropic, ai.Gemini or ai.DeepSeek on a free port of
// loopback until Close.
func Start(vendor string) (*Server, error) {
	s := &Server{Vendor: vendor, closed: make(chan struct{})}
	if s.path() == "" {
		return nil, fmt.Errorf("aitest: there is no fake of %q", vendor)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.URL = "http://" + l.Addr().String()
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

// New is Start for a test, which closes it at its end.
func New(t interface {
	Helper()
	Cleanup(func())
	Fatal(...any)
}, vendor string,
) *Server {
	t.Helper()
	s, err := Start(vendor)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Close ends the server and all its connections.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return nil
	default:
		close(s.closed) // lets handlers go that wait for a client
	}
	if err := s.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Endpoint is the account at this vendor, for ai.Settings.
func (s *Server) Endpoint() ai.Endpoint { return ai.Endpoint{Key: Key, BaseURL: s.URL, Model: Model} }

// Set is how requests are answered from now on.
func (s *Server) Set(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Requests that came so far, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Open is how many requests are being answered. A client that goes away ends his.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

func (s *Server) path() string {
	return map[string]string{
		ai.Anthropic: "/v1/messages",
		ai.Gemini:    "/v1beta/models/" + Model + ":streamGenerateContent",
		ai.DeepSeek:  "/chat/completions",
	}[s.Vendor]
}

// authorized compares the key where the vendor expects it.
func (s *Server) authorized(h http.Header) bool {
	switch s.Vendor {
	case ai.Anthropic:
		return h.Get("X-Api-Key") == Key && h.Get("Anthropic-Version") == "2023-06-01"
	case ai.Gemini:
		return h.Get("X-Goog-Api-Key") == Key
	}
	return h.Get("Authorization") == "Bearer "+Key
}

// ServeHTTP answers by the script.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil {
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, r.RequestURI, r.Header.Clone(), body})
	script := s.script
	s.open++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	}()

	if script.Pieces == nil {
		script.Pieces = []string{"Hello", ", ", "world", "!"}
	}
	a := &answer{server: s, script: script, w: w, r: r, flush: http.NewResponseController(w).Flush}
	switch {
	case r.Method != http.MethodPost || r.URL.Path != s.path():
		http.NotFound(w, r)
	case !s.authorized(r.Header):
		a.refuse(http.StatusUnauthorized, "key.json")
	default:
		a.play()
	}
}

// recording returns a file of testdata, or of this vendor in it.
func (s *Server) recording(name string) string {
	b, err := testdata.ReadFile("testdata/" + s.Vendor + "/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b), " ")
}
