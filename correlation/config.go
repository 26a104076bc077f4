package correlation

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/internal/hostport"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Config says which IDs are taken and what the access line holds. The zero
// Config is secure: it takes any safe token as ID, logs to slog.Default, and
// logs no query, no header and no body. New copies it.
type Config struct {
	// Header carries the ID in requests, answers and, through Transport, in
	// outbound requests. Default "X-Correlation-ID". A header with a meaning of
	// its own (Set-Cookie, Content-Length, Authorization, ...) is a mistake.
	Header string
	// Format is what an ID of a caller must look like. Default FormatToken: it
	// takes what nginx, HAProxy, browsers and queues send. Use FormatUUID or
	// FormatHex32 where all callers are known to send these.
	Format Format
	// Trust decides whether the caller may name the correlation ID (and the
	// trace: see traceparent in the package comment). It is asked only where the
	// request carries a valid ID or traceparent. Nil takes them from any caller:
	// then a stranger can send the ID of somebody else's request and so mix his
	// lines into that story. RequestID is not his to choose, so the stories can
	// still be told apart. Set it where the ID has to be evidence:
	//
	//	Trust: func(r *http.Request) bool { return gateways.Contains(peer(r)) }
	Trust func(*http.Request) bool
	// Generate makes an ID where the caller sent none that was taken. Default:
	// a random UUID (version 4), for FormatHex32 its 32 digits. NewV7 makes IDs
	// that sort by time. New calls it once; a result that does not fit Format is
	// a mistake there, and at request time gives way to the default.
	Generate func() string
	// Logger gets the access line. Nil is slog.Default(), looked up at each line.
	Logger *slog.Logger
	// ClientIP is logged as client.address: the method of a forwarded.Resolver
	// behind a proxy. Default: the peer of the connection, which behind a proxy
	// is the proxy.
	ClientIP func(*http.Request) netip.Addr
	// Level gives the line its level; it is called once per request. Default:
	// ERROR for a status of 500 and above and for a panic, WARN where Slow,
	// INFO for everything else: a 4xx is the client's fault, so is the 503 of a
	// handler that was cancelled because the client left, and a level that
	// strangers can raise wakes people for nothing. It and Skip must not panic:
	// they run when everything is over, so the line is lost and net/http cuts the
	// connection.
	Level func(Outcome) slog.Level
	// Skip leaves out the line of a request, a health probe for example. It is
	// asked after the handler (r.Pattern is known), and only for a success:
	// a status of 400 and above, a panic, a timeout, an aborted or a slow
	// request is always logged.
	Skip func(*http.Request) bool
	// SlowAfter makes the line of a request that took longer a WARN, by Slow in
	// its Outcome. Streams (text/event-stream, hijacked connections) are never
	// slow. Default 0: none is.
	SlowAfter time.Duration
	// ClientErrorLines is how many answers of 4xx get a line of their own in
	// one second. Default 100: enough to see what happens, too few to fill a
	// disk or a bill. Those beyond it are counted and written as one line after
	// that second ("summed"). Without it, whoever can send requests decides how
	// much you log.
	ClientErrorLines int
	// Query says what of the query is logged. Default QueryOff.
	Query QueryPolicy
	// LogHeaders names request headers to log, as http.request.header.<name>,
	// at most 8 lines of 256 bytes each; the query is cut off a Referer and
	// other headers with a URL (X-Original-Url, X-Forwarded-Uri).
	// Headers that carry credentials are refused by New: Authorization, Cookie,
	// X-Api-Key and whatever has token, secret, session or the like in its name.
	// Default: none.
	LogHeaders []string
	// Panics says what becomes of a panic of the handler. Default PanicsTo500.
	Panics PanicMode
	// PropagateTo lists the hosts to which Transport sends the ID:
	// "api.internal" on any port, "api.internal:8080" on that one, addresses as
	// "10.0.0.7" or "[fd00::1]". Default: none. An ID that goes to a third party
	// tells it which of its requests belong to one of your users' actions.
	PropagateTo []string
}

// Format is the shape of an ID.
type Format uint8

// The formats. What does not fit is refused whole, never cleaned.
const (
	// FormatToken is 1 to 128 letters, digits, dots, underscores, colons and
	// hyphens: safe in a header, a log line, a URL, a file name and SQL.
	FormatToken Format = iota
	// FormatUUID is 8-4-4-4-12 hexadecimal digits, in either case (RFC 9562,
	// section 4), of any version.
	FormatUUID
	// FormatHex32 is 32 hexadecimal digits in either case: a UUID without
	// hyphens, nginx's $request_id, a W3C trace-id.
	FormatHex32
)

// QueryPolicy says what of the query is logged.
type QueryPolicy uint8

// The query policies. There is none that logs values: search terms, e-mail
// addresses and ?token= are what queries are made of.
const (
	// QueryOff logs nothing of it.
	QueryOff QueryPolicy = iota
	// QueryKeys logs the names of at most 32 parameters, each cut after 64
	// bytes, with REDACTED for each value: url.query "q=REDACTED&page=REDACTED".
	// A parameter without "=" may be a bare token: it is all REDACTED.
	QueryKeys
)

// PanicMode says what becomes of a panic.
type PanicMode uint8

// The panic modes. Both write the line, with the stack, at ERROR; both let
// http.ErrAbortHandler through, without a stack.
const (
	// PanicsTo500 ends the panic here. Where nothing was sent yet, the answer
	// is a 500 with the ID, without the cookies, the entity headers and the
	// redirect that the handler had set. Where a header went out, the connection is aborted
	// (http.ErrAbortHandler): the client must not take half a body for a whole.
	PanicsTo500 PanicMode = iota
	// PanicsRepanic panics again with the same value, for a recoverer (a crash
	// reporter) further out. The line then has no status where none was sent.
	PanicsRepanic
)

const (
	defaultHeader           = "X-Correlation-ID"
	defaultClientErrorLines = 100
)

// compile checks cfg and builds the Middleware from copies.
func compile(cfg Config) (*Middleware, error) {
	errs := mistakes.In("correlation")
	m := &Middleware{
		header:    headerOf(cfg, errs),
		format:    cfg.Format,
		trust:     cfg.Trust,
		logger:    cfg.Logger,
		clientIP:  cfg.ClientIP,
		level:     cfg.Level,
		skip:      cfg.Skip,
		slowAfter: cfg.SlowAfter,
		query:     cfg.Query,
		panics:    cfg.Panics,
		base:      time.Now(),
	}
	if cfg.Format > FormatHex32 {
		errs.Add("Format", "", "is none of FormatToken, FormatUUID and FormatHex32")
	} else if cfg.Generate != nil {
		if id := cfg.Generate(); !m.format.valid(id) {
			errs.Add("Generate", id, "made an ID that does not fit Format; callees with the same Config would refuse it")
		}
		m.generate = cfg.Generate
	}
	if cfg.SlowAfter < 0 {
		errs.Add("SlowAfter", cfg.SlowAfter.String(), "is negative; 0 switches it off")
	}
	m.flood.max = cfg.ClientErrorLines
	switch {
	case cfg.ClientErrorLines < 0:
		errs.Add("ClientErrorLines", "", "is negative; 0 means %d per second, 1 is the least", defaultClientErrorLines)
	case cfg.ClientErrorLines == 0:
		m.flood.max = defaultClientErrorLines
	}
	if cfg.Query > QueryKeys {
		errs.Add("Query", "", "is neither QueryOff nor QueryKeys")
	}
	if cfg.Panics > PanicsRepanic {
		errs.Add("Panics", "", "is neither PanicsTo500 nor PanicsRepanic")
	}
	m.logHeaders = loggedHeaders(cfg, m.header, errs)
	m.hosts = propagateTo(cfg, errs)
	return m, errs.Err()
}

func headerOf(cfg Config, errs *mistakes.List) string {
	name := cfg.Header
	if name == "" {
		name = defaultHeader
	}
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !headervalue.IsToken(name):
		errs.Add("Header", name, "is no header name (RFC 9110, section 5.1)")
	case isReserved(canonical) || isSecret(canonical):
		errs.Add("Header", name, "has a meaning of its own; use a name like %q", defaultHeader)
	}
	return canonical
}

// isReserved tells whether a header of this canonical name in an answer would
// change what the answer is.
func isReserved(name string) bool {
	for _, prefix := range []string{"Access-Control-", "Content-", "Cross-Origin-", "Sec-", "If-", "Accept"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "Age", "Allow", "Alt-Svc", "Cache-Control", "Clear-Site-Data", "Connection", "Date", "Etag", "Expires",
		"Host", "Keep-Alive", "Last-Modified", "Link", "Location", "Origin", "Range", "Refresh", "Retry-After",
		"Strict-Transport-Security", "Te", "Trailer", "Traceparent", "Tracestate", "Transfer-Encoding", "Upgrade",
		"Vary", "X-Content-Type-Options", "X-Frame-Options":
		return true
	}
	return false
}

// isSecret is the deny list: headers that carry credentials, by name and by
// what their names hold. A name too many costs a rename, a credential in a log
// costs an incident.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{
		"authoriz", "authenticat", "cookie", "token", "secret", "passw", "passphrase", "session", "credential",
		"signature", "apikey", "api-key", "api_key", "access-key", "accesskey", "private", "jwt", "csrf", "xsrf", "assertion",
		"client-cert", "oidc-data", "dpop",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return strings.HasPrefix(name, "x-auth") || strings.HasSuffix(name, "-auth") || strings.HasSuffix(name, "-key")
}

func loggedHeaders(cfg Config, own string, errs *mistakes.List) []loggedHeader {
	var list []loggedHeader
	seen := map[string]bool{}
	for i, name := range cfg.LogHeaders {
		field := fmt.Sprintf("LogHeaders[%d]", i)
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !headervalue.IsToken(name):
			errs.Add(field, name, "is no header name (RFC 9110, section 5.1)")
		case isSecret(canonical):
			errs.Add(field, name, "carries credentials and is never logged; log who the user is with SetUser")
		case canonical == own:
			errs.Add(field, name, "carries the ID, which is logged as correlation_id once it is checked, and nowhere before")
		case seen[canonical]:
			errs.Add(field, name, "is listed twice")
		}
		seen[canonical] = true
		list = append(list, loggedHeader{name: canonical, key: "http.request.header." + strings.ToLower(name)})
	}
	return list
}

func propagateTo(cfg Config, errs *mistakes.List) map[destination]bool {
	hosts := make(map[destination]bool, len(cfg.PropagateTo))
	for i, s := range cfg.PropagateTo {
		a, err := hostport.Parse(s)
		if strings.Contains(s, "/") {
			err = errors.New("has a scheme or a path")
		}
		if err != nil {
			errs.Add(fmt.Sprintf("PropagateTo[%d]", i), s, "%v; give a host alone, like \"api.internal\" or \"api.internal:8080\"", err)
			continue
		}
		d := destinationOf(a)
		if hosts[d] {
			errs.Add(fmt.Sprintf("PropagateTo[%d]", i), s, "is listed twice")
		}
		hosts[d] = true
	}
	return hosts
}
