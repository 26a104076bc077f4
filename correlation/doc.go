// Package correlation gives every request an ID and exactly one true log line,
// and every panic an answer.
//
//	ids, err := correlation.New(correlation.Config{ClientIP: proxies.ClientIP})
//	if err != nil { ... }
//	slog.SetDefault(slog.New(correlation.NewLogHandler(slog.NewJSONHandler(os.Stdout, nil))))
//	handler := ids.Handler(mux)
//
// # What it stops
//
//   - Forged log lines: an ID is taken from a caller only if it is a safe token.
//     Anything else (too long, a space, a control or non-ASCII byte, two header
//     lines) is refused whole, never cleaned, and the raw value goes nowhere: not
//     to the log, not to the answer, not to the next handler.
//   - Replayed IDs: RequestID is made here for every request, whatever was sent.
//   - Lines that lie: status, bytes and durations are those of the answer that
//     net/http was given, after a panic, a hijack, several WriteHeader, 103 and
//     sendfile too, and there is a line where the handler panicked or was aborted.
//   - Secrets in logs: no query values, no bodies, no headers unless listed, and
//     those that carry credentials cannot be listed.
//   - Log injection: paths are percent-encoded, everything else of foreign origin
//     is bounded and made printable.
//   - A log flooded by a scanner: 4xx answers beyond Config.ClientErrorLines are
//     summed into one line a second.
//   - Panics that close the connection without an answer, or answer 500 with the
//     cookie and the Cache-Control of the page that was meant to come.
//
// # What it does not
//
// It does not authenticate: an ID is a name, not a proof; see Config.Trust. It
// does not sample, rotate or ship logs. It makes no spans: trace_id and span_id
// are those of the traceparent header that came in. A path may hold secrets
// (/reset/<token>): it is logged, http.route is what to keep instead. A request
// that net/http refuses before any handler (a malformed one) has no line. As behind
// every wrapped ResponseWriter, http.MaxBytesReader cannot tell the server to close
// the connection early; http.Server reads at most 256 KiB more of it.
//
// # Position
//
// Outermost, so that refusals of the other layers have an ID and a line too, and
// so that their panics are answered. The answer to a panic keeps the headers that
// other layers had set (security headers, CORS); the entity headers (those of
// RFC 9110, section 8, and Cache-Control), any other Cache-Control (RFC 9213),
// Set-Cookie, Location and Refresh go. The route of the line is r.Pattern: layers
// of this module pass it out; behind a foreign layer that copies the request, and
// with other routers, call SetRoute.
//
// # The line
//
// The message is "request". Attributes are named after OpenTelemetry's semantic
// conventions; those without a value are left out.
//
//	correlation_id, request_id  see ID and RequestID
//	http.request.method         a known method, else _OTHER (and http.request.method_original)
//	url.path                    percent-encoded, cut after 1024 bytes
//	url.query                   with QueryKeys: names only
//	http.route                  "/items/{id}", without method and host
//	http.response.status_code   left out for a hijacked connection and where none was sent
//	http.response.body.size     bytes of the body that net/http took, 0 for HEAD
//	duration, ttfb              seconds; until the handler returned; until the header
//	hijacked                    true for a connection that was taken over (WebSocket)
//	client.address              see Config.ClientIP
//	user.id                     see SetUser
//	error.type                  panic, aborted, timeout, client_gone, or 500 to 599
//	trace_id, span_id           of a valid traceparent (W3C Trace Context)
//	http.request.header.<name>  see Config.LogHeaders
//	exception.type, .message, .stacktrace   of a panic
//
// A line of a flood has the message "requests without a line of their own",
// summed (how many), http.response.status_code (the commonest) and, where they
// differ, summed_by_status. It is written when the first request after its second
// ends: there is no goroutine. Call Middleware.Flush after http.Server.Shutdown
// for the last one.
//
// What the client got is told as far as net/http knows it: bytes that were
// accepted may still be lost on the way, and an aborted answer may never have
// left the buffer.
//
// # Streams
//
// The line of a text/event-stream or a hijacked connection comes when its handler
// returns, with the whole duration. Streams are never slow.
//
// # Jobs and outbound requests
//
// A goroutine that outlives its request should not hold the request's context,
// which holds the request: give it NewContext(context.Background(), ID(ctx)).
// Middleware.Transport sends the ID to the listed hosts.
//
// # Coming from asgi-correlation-id
//
//	header_name="X-Request-ID"   Config.Header (the default differs: X-Correlation-ID)
//	generator=uuid4().hex        Config.Generate; Format: FormatHex32 makes the same 32 digits
//	validator=is_valid_uuid4     Config.Format: FormatUUID or FormatHex32
//	validator=None               FormatToken: bounded and safe, still not anything
//	transformer                  none: an ID is taken as it is or not at all
//	update_request_header        read ID(r.Context()); a refused header is removed from the request
//	correlation_id.get()         ID(ctx)
//	correlation_id.set(...)      NewContext(ctx, id)
//	CorrelationIdFilter          NewLogHandler; no default value: without an ID, no attribute
//	Celery extension             send ID(ctx) with the message, NewContext in the consumer
//	exception handler for 500    none needed: the ID is set before the handler runs
//	uvicorn.access               switch it off; the line here replaces it
package correlation
