// Package corsx decides which pages of other origins may read the answers of a
// service: CORS, the protocol of the Fetch standard. It cannot be configured to
// trust everybody, or more than was written down.
//
//	cors, err := corsx.New(corsx.Config{
//		Origins:        []string{"https://app.example.com"},
//		Methods:        []string{"PUT", "PATCH", "DELETE"},
//		RequestHeaders: []string{"Authorization", "Content-Type"},
//		ExposedHeaders: []string{"Retry-After", "X-Correlation-ID"},
//		MaxAge:         time.Hour,
//	})
//	if err != nil { ... } // every mistake, with the right spelling
//	handler := cors.Handler(mux)
//
// # What it stops
//
// A page of an origin that is not in the Config cannot read an answer, nor send
// what needs a preflight. Origins are compared byte for byte with a list; no
// wildcard, regular expression, "null" or plain-http origin can stand in it, so
// that no clever name (https://evil.com/.example.com, https://a@b.example.com,
// two origins joined by a comma) is taken for one of yours. A cache cannot serve
// one origin's answer to another, since Vary is right on every answer.
//
// # What it does not stop
//
// CORS hides answers; it does not keep a request from being carried out. A form
// or an image of any site reaches your handlers with the visitor's cookies, and
// WebSockets know no CORS. [Config.Enforce] refuses both where the browser names
// its origin; against forged form posts use SameSite cookies and
// [net/http.CrossOriginProtection] too. Nothing here binds a client that is no
// browser: it can claim any Origin. Private networks: a page's request into one
// is never granted (Access-Control-Allow-Private-Network is not sent).
//
// # What it answers
//
//	request                                          answer
//	no Origin (curl, navigation, same-origin GET)    the handler's, Vary: Origin
//	Origin allowed                                   the handler's with Access-Control-Allow-Origin,
//	                                                 whatever its status: 401, 405, 429, 500
//	Origin not allowed, or malformed                 the handler's without them; under Enforce 403
//	preflight granted                                204 with all that the Config allows, under 1 KiB
//	preflight refused                                403 without a body
//	OPTIONS without Origin or without                the handler's: it is no preflight
//	Access-Control-Request-Method
//
// Every answer that depends on the Origin has it in Vary, answers to requests
// without one included; answers to OPTIONS have also the other two headers that
// a preflight is judged by. Vary is added to, never replaced. A 403 of Enforce
// is problem+json (RFC 9457) and the same for everybody.
//
// # Where it stands
//
// Behind the check of the host, before the rate limit: a preflight then costs
// no token, and a 429 can be read by the page. Whatever answers further out
// (another 4xx, a TimeoutHandler) is opaque to the page, so wrap as much as
// possible. Wrap the mux, not single routes: a route registered as "GET /x"
// gets no OPTIONS request, and the mux's 405 would lack the headers. Do not nest
// two of these: the outer one answers all preflights. A reverse proxy behind it
// must drop the Access-Control headers of its upstream, or the page gets two of
// each and refuses the answer.
//
// # Where rs/cors comes in
//
// What an answer holds is decided by github.com/rs/cors. It is asked by New,
// about made-up requests, once for each kind of answer; a request gets a fresh
// copy with its origin put in, after everything has been checked. So no byte of a client reaches rs/cors, and the
// slices that it shares between answers reach no handler. Who gets which answer
// is decided here.
//
// # Coming from FastAPI
//
// CORSMiddleware of Starlette, and what to write here:
//
//	allow_origins=["https://a"]     Origins: []string{"https://a"}, each checked
//	allow_origins=["*"]             no equivalent: list them. With allow_credentials, Starlette
//	                                reflects every origin that sends a cookie
//	allow_origin_regex=r"https://.*\.example\.com"
//	                                Subdomains: []string{"https://*.example.com"}
//	                                (not the apex: add it to Origins)
//	allow_origin_regex=r"http://localhost:\d+"
//	                                AllowLoopback: true, in development only
//	allow_methods=["*"]             Methods: []string{"PUT", "PATCH", "DELETE"}; GET, HEAD and POST
//	                                are always allowed, Starlette's default is GET alone
//	allow_headers=["*"]             RequestHeaders: the names, "Authorization" and "Content-Type" for
//	                                JSON with a token; Starlette always allows Content-Type, here
//	                                it must be listed
//	allow_credentials=True          Credentials: true
//	expose_headers=["X-Total"]      ExposedHeaders: []string{"X-Total"}
//	max_age=600 (the default)       MaxAge: 10 * time.Minute; here the default is the browser's 5 s
//	allow_private_network=True      no equivalent
//
//	Starlette answers               here
//	preflight 200 "OK"              204
//	preflight 400 "Disallowed ..."  403 without a body
//	foreign origin: Allow-Credentials without Allow-Origin, no Vary
//	                                Vary: Origin, nothing else
//	500 of a handler: no CORS headers, "Failed to fetch"
//	                                the headers are on it
//	requests without Origin have no Vary
//	                                Vary: Origin, so that a cache cannot mix them up
//
// References: the Fetch standard (https://fetch.spec.whatwg.org/), "HTTP-network
// fetch" and "CORS protocol"; RFC 6454 (origins); RFC 9110, sections 9.3.7
// (OPTIONS) and 12.5.5 (Vary); RFC 6761, section 6.3 (localhost).
package corsx
