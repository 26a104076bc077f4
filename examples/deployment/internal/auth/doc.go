// Package auth logs users in with Google and Microsoft (OpenID Connect, code flow
// with PKCE) and knows them again by a token of our own.
//
// # The routes
//
// All of them also under /api/auth. Bodies and answers are JSON.
//
//	GET  /auth/providers             {"delivery", "providers": [{"name", "label"}]}
//	POST /auth/{provider}/initiate   {"challenge", "return_url"} -> {"auth_url", "state"}
//	GET  /auth/{provider}/login      where auth_url leads if the frontend is another origin
//	GET  /auth/{provider}/callback   where the provider sends the browser back to
//	POST /auth/token                 {"code", "verifier"} -> {"access_token", "token_type", "expires_in", "return_url"}
//	POST /auth/refresh               a valid token -> a new one, {"access_token", "token_type", "expires_in"}
//	POST /auth/logout                {"everywhere": false} -> 204
//
// # A login, as the frontend sees it (delivery "code")
//
//  1. Make a verifier: 43 characters base64url of 32 random bytes. Its challenge
//     is base64url(SHA-256(verifier)) (RFC 7636, S256). Keep the verifier in
//     sessionStorage.
//  2. POST /auth/google/initiate {"challenge": ..., "return_url": "/threads/7"}.
//     Keep "state" beside the verifier; set location to "auth_url".
//  3. The browser comes back to the frontend's /auth/callback?code=...&state=...
//     Take both off the address bar with history.replaceState at once. Refuse a
//     state that is not the kept one.
//  4. POST /auth/token {"code": ..., "verifier": ...}. Go to "return_url".
//  5. Send "Authorization: Bearer <access_token>". Before expires_in seconds have
//     passed, POST /auth/refresh. After twelve hours, or after a 401: log in again.
//
// A login that failed comes back as /auth/callback?error=..., one of
// access_denied (the user said no), invalid_request (begun in another browser, too
// long ago, or finished already: begin again), login_failed (the provider's answer
// was not to be believed). A provider that cannot be reached is a 503 problem; a
// reload tries again.
//
// With delivery "cookie" there is no challenge and no code: the callback sets an
// HttpOnly cookie and leads to return_url. An expired cookie is renewed by POST
// /auth/refresh too; access_token is then left out of the answer. A plain link to
// /auth/google/login?return_url=/threads/7 works as well. Behind it the server
// must refuse cross-site requests (http.CrossOriginProtection). With delivery
// "query", for old clients on a developer's machine, the token itself comes as
// /auth/callback?token=...; New refuses it with https.
//
// # What it stops
//
//   - Login CSRF, mixed-up and replayed answers: state, nonce and PKCE verifier of
//     each login are fresh and live in one encrypted cookie of the browser that
//     began it, bound to the provider, for ten minutes, for one callback.
//   - A stolen code of the provider: useless without the PKCE verifier, which never
//     leaves the cookie and the back channel (RFC 9700, section 2.1.1).
//   - A stolen code of ours (history, logs, Referer): 256 bits, 60 seconds, once,
//     stored as a hash, and bound to a verifier that only the frontend's tab has. A
//     wrong verifier spends it too.
//   - Open redirects: return_url is a path of the frontend, redirect_uri is built
//     from the configured backend and never from the request.
//   - Forged ID tokens: signature, algorithm, issuer, tenant, audience, authorized
//     party, expiry and nonce are all checked.
//   - Accounts taken over by e-mail address: users are keyed by issuer and subject.
//   - Forged tokens of ours: HS256 and nothing else, with a key that is derived for
//     this purpose and named by kid; exp, nbf, iat, iss, aud and sub are required.
//   - A stolen token: half an hour, unless renewed; and the user and the epoch are
//     looked up for every request, so "log out everywhere" works at once.
//
// # What it does not
//
// "Log out" on one device makes the client forget its token; a copy that a thief
// has stays good until it expires, at most half an hour. Log out everywhere for
// that. It does not end the session at the provider. One login per provider and
// browser at a time: a second tab that begins one ends the first one's. Two
// callbacks with the same cookie at the same instant are told apart by the
// provider, whose codes work once.
package auth
