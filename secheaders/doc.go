// Package secheaders sets the security headers of every answer: HSTS, Content
// Security Policy and its relatives, from a typed configuration that New refuses
// where a browser would ignore or misread it.
//
//	headers, err := secheaders.New(secheaders.Config{}) // the secure default
//	if err != nil { ... }                               // every mistake, at once
//	handler := headers.Handler(mux)
//
// # What it stops
//
// Scripts that somebody managed to inject (XSS), clickjacking, content that is
// run as something else than it is (sniffing), a downgrade to plain HTTP, leaks
// through Referer, popups and embedding by other sites, and access to camera,
// location and other hardware. It does not escape your HTML and does not check
// tokens: a policy is the second wall behind these.
//
// # The default set
//
// The zero Config sends, and why:
//
//	Strict-Transport-Security          max-age=63072000; includeSubDomains
//	    HTTPS only (RFC 6797, 7.2). Two years, as the preload list asks; the
//	    subdomains, since one without HTTPS can set cookies for all of them. No
//	    preload: that takes months to undo and must be a decision.
//	Content-Security-Policy            default-src 'self'; base-uri 'self'; form-action 'self';
//	                                   frame-ancestors 'none'; object-src 'none'
//	    This origin only, no inline script or style. base-uri, form-action and
//	    frame-ancestors are not covered by default-src. Over HTTPS also
//	    upgrade-insecure-requests; over plain HTTP that would break a
//	    development server.
//	X-Frame-Options                    DENY
//	    For browsers without frame-ancestors. It follows the policy.
//	X-Content-Type-Options             nosniff
//	    An uploaded text file stays a text file.
//	Referrer-Policy                    strict-origin-when-cross-origin
//	    Other sites learn the host, no path or query, and nothing over plain HTTP;
//	    your own pages and analytics keep the whole URL.
//	Permissions-Policy                 accelerometer=(), camera=(), display-capture=(),
//	                                   geolocation=(), gyroscope=(), hid=(), magnetometer=(),
//	                                   microphone=(), midi=(), payment=(), serial=(), usb=(),
//	                                   xr-spatial-tracking=()
//	    Hardware and payment are off, for frames and injected scripts too. What
//	    pages use without asking (fullscreen, clipboard, passkeys) stays.
//	Cross-Origin-Opener-Policy         same-origin
//	    Windows of other sites lose their handle on this one (tab-nabbing, XS-Leaks).
//	    Sign-in by popup needs COOPSameOriginAllowPopups.
//	Cross-Origin-Resource-Policy       same-origin
//	    Other sites cannot embed the answers, so they never reach the memory of
//	    their processes (Spectre). CORS is not affected.
//	Origin-Agent-Cluster               ?1
//	    Own process or heap where the browser can; document.domain is off.
//	X-Permitted-Cross-Domain-Policies  none
//	    No cross-domain policy files for PDF readers.
//	X-XSS-Protection                   0
//	    The filter of old browsers could itself be used to attack; it stays off.
//
// There is no Cross-Origin-Embedder-Policy in it: that breaks every image and
// script of a host that has not opted in, and only pages that need threads gain.
//
// [API], [OWASP] and [FlutterWeb] are other sets to begin from. [Lint] comments
// on a Config that is valid but weak, and [Middleware.Describe] shows the set.
//
// # Scores
//
// As TestObservatoryScores measures them, over TLS and with the redirect from
// plain HTTP (without these two the Observatory gives 60 at best):
//
//	preset        MDN HTTP Observatory   csp_evaluator's worst finding
//	Default       A+  125                MEDIUM_MAYBE: 'self', if you host JSONP or uploads
//	  with nonce  A+  125                none
//	API           A+  130                none
//	OWASP         A+  125                MEDIUM_MAYBE: 'self'
//	FlutterWeb    A+  120                MEDIUM_MAYBE: 'self', and the CDN's path with CDN
//
// # Typed policies
//
// A [Policy] has a field for each directive. New and [ParsePolicy] refuse a
// keyword without its quotes or with a spelling mistake, 'none' beside others, a
// nonce written out, a hash of the wrong length, 'strict-dynamic' without a nonce
// or hash, anything that could end a directive or the header (`;`, `,`, white
// space, control bytes), keywords that have no effect where they stand, and a
// report-to that names no endpoint. Nothing is rewritten silently. Values from
// the environment go through [Origin], which cannot become a keyword.
//
// Inline scripts: static pages take hashes ([HashHTML]), which keep a page
// cacheable; pages made per request may take a nonce ([NonceSource], [Nonce]):
//
//	var page = template.Must(template.New("").Parse(`<script nonce="{{.Nonce}}">...</script>`))
//	page.Execute(w, map[string]any{"Nonce": secheaders.Nonce(r.Context())})
//
// # Position and cost
//
// Outside everything that can refuse a request, so that refusals carry the
// headers too; inside the layer that turns panics into answers. What the handler
// sets itself wins over this package, which wins over layers outside it. Vary is
// not touched. Without a nonce an answer costs one allocation and the
// ResponseWriter is not wrapped. With one, a thin writer is put around it that
// keeps Flusher, Hijacker and ReaderFrom as they were below, the answer is not
// cached unless the handler says so, and a 304 carries no nonce.
//
// Put [Middleware.Proxy] around an httputil.ReverseProxy, which otherwise adds the
// headers of the upstream to these.
//
// References: CSP Level 3 (w3.org/TR/CSP3), RFC 6797 (HSTS), RFC 7034
// (X-Frame-Options), RFC 9651 (structured fields), Fetch and HTML standards for
// CORP, COOP and COEP, Reporting API (w3.org/TR/reporting-1).
package secheaders
