package ai

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// NewTransport returns a transport for calls that are paid for and stream.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConnsPerHost:    8,
		MaxResponseHeaderBytes: 64 << 10,
		// Shorter than the idle time of load balancers (60 s is common): a
		// connection that the other side just closed costs the user an error,
		// because the call is not repeated.
		IdleConnTimeout: 30 * time.Second,
		// An HTTP/2 connection that a middlebox forgot would take every new call
		// into nowhere until FirstByte.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// prepare returns the client as calls need it.
func prepare(client *http.Client) *http.Client {
	c := http.Client{Transport: NewTransport()}
	if client != nil && client.Transport != nil {
		c.Transport = client.Transport
	}
	// A redirect would take the question, and headers like X-Api-Key, to whomever
	// the answer names: net/http drops only Authorization and Cookie.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// request makes the request. Nothing may send it twice: net/http repeats one whose
// connection broke if it could be replayed. On HTTP/1 a POST could not (unless it
// had an Idempotency-Key), on HTTP/2 only GetBody decides.
func (v *vendor) request(ctx context.Context, c conversation, maxTokens int) (*http.Request, error) {
	path, header, value := v.format.request(c, maxTokens)
	body, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.endpoint.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.GetBody = nil
	r.Header = header
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Accept-Encoding", "identity") // compressors hold small pieces back
	r.Header.Set("User-Agent", "gatehouse-deployment")
	return r, nil
}

// refused returns the error that an answer is instead of a stream.
func (v *vendor) refused(resp *http.Response, body io.Reader) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode == http.StatusOK && kind == "text/event-stream" {
		return nil
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return &Error{Kind: Malformed, Message: "a redirect, which is not followed: check the base URL"}
	}
	text, err := io.ReadAll(io.LimitReader(body, maxError))
	e := v.format.failure(resp.StatusCode, text)
	if e == nil {
		e = &Error{Kind: kindOf(resp.StatusCode), Message: string(text)}
		if resp.StatusCode < 300 {
			e = &Error{Kind: Malformed, Message: "no event stream but " + strconv.Quote(kind)}
		}
	}
	if after := retryAfter(resp.Header); after > 0 {
		e.RetryAfter = after
	}
	if err != nil && resp.StatusCode < 300 {
		return &Error{Kind: Cut, Err: err}
	}
	return e
}

// kindOf maps what a vendor calls an error. The status decides, but for 400,
// which every vendor uses for accounts too, and 200, an error within the stream.
func kindOf(status int, words ...string) Kind {
	var kind Kind
	switch {
	case status < 300:
		kind = InBand
	case status == http.StatusBadRequest:
		kind = Rejected
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusConflict:
		return Overloaded
	case status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return Rejected
	default: // 401, 402, 403, 404, and a base URL that leads to something else
		return Account
	}
	for _, w := range words {
		if k, ok := kinds[w]; ok && (status < 300 || k == Account) {
			kind = k
		}
	}
	return kind
}

// kinds are the vendors' words for errors.
var kinds = map[string]Kind{
	// Anthropic
	"overloaded_error": Overloaded, "api_error": Overloaded, "timeout_error": Overloaded,
	"rate_limit_error":     RateLimited,
	"authentication_error": Account, "billing_error": Account, "permission_error": Account, "not_found_error": Account,
	"invalid_request_error": Rejected, "request_too_large": Rejected,
	// Google
	"UNAVAILABLE": Overloaded, "INTERNAL": Overloaded, "DEADLINE_EXCEEDED": Overloaded,
	"RESOURCE_EXHAUSTED": RateLimited,
	"PERMISSION_DENIED":  Account, "UNAUTHENTICATED": Account, "NOT_FOUND": Account, "FAILED_PRECONDITION": Account, "API_KEY_INVALID": Account,
	"INVALID_ARGUMENT": Rejected,
	// DeepSeek
	"server_error": Overloaded, "internal_error": Overloaded, "service_unavailable_error": Overloaded,
	"rate_limit_exceeded": RateLimited,
	"insufficient_quota":  Account,
}

// retryAfter reads the seconds or the date (RFC 9110, section 10.2.3).
func retryAfter(h http.Header) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	var after time.Duration
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		after = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		now := time.Now()
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date // by the clock that the other side counts with
		}
		after = at.Sub(now)
	}
	return bounded(after)
}

func bounded(after time.Duration) time.Duration {
	return min(max(after, 0), 24*time.Hour)
}

// clean makes foreign text fit for a log line: without the key, on one line,
// printable and short.
func clean(s string, key Key) string {
	if len(key) >= 8 { // a shorter one is a placeholder, and part of many words
		s = strings.ReplaceAll(s, string(key), "[key]")
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= 300 {
		return s
	}
	cut := 297
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// cleanError prints clean text for a foreign error.
type cleanError struct {
	error
	text string
}

func (e cleanError) Error() string { return e.text }
func (e cleanError) Unwrap() error { return e.error }
