package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/problems"
)

// codeLife is how long the frontend may take from its callback page to the
// exchange: one redirect and one request.
const codeLife = time.Minute

// newCode makes the one-time code. Only its hash is kept: who reads the database,
// or a backup of it, has no code.
func (s *Service) newCode(r *http.Request, u data.User, f flow) (string, error) {
	code := random()
	err := s.cfg.Store.SaveCode(r.Context(), sha256.Sum256([]byte(code)), u.ID,
		bound(f.Challenge, u.TokenEpoch, f.Return), s.now().Add(codeLife))
	return code, err
}

// exchange gives the token for a code and the verifier of its challenge (RFC
// 7636, section 4.6). The code is spent by the attempt, whatever comes of it.
func (s *Service) exchange(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Code     string `json:"code"`
		Verifier string `json:"verifier"`
	}
	if !decode(w, r, &body) {
		return
	}
	if s.cfg.Delivery != deliverCode || len(body.Code) != 43 {
		s.badCode(w, r)
		return
	}
	id, kept, err := s.cfg.Store.TakeCode(r.Context(), sha256.Sum256([]byte(body.Code)))
	if errors.Is(err, data.ErrNotFound) {
		s.badCode(w, r)
		return
	}
	if err != nil {
		s.storeFailed(w, r, err)
		return
	}
	parts := strings.SplitN(kept, " ", 3)
	if len(parts) != 3 || !answers(body.Verifier, parts[0]) {
		s.log.WarnContext(r.Context(), "login code with the wrong verifier: somebody else's", "user.id", id)
		s.badCode(w, r)
		return
	}
	u, err := s.cfg.Store.User(r.Context(), id)
	if errors.Is(err, data.ErrNotFound) || (err == nil && strconv.FormatInt(u.TokenEpoch, 10) != parts[1]) {
		s.badCode(w, r)
		return
	}
	if err != nil {
		s.storeFailed(w, r, err)
		return
	}
	token, life := s.tokens.issue(u, s.now())
	correlation.SetUser(r.Context(), u.ID)
	reply(w, tokenAnswer{token, "Bearer", seconds(life), parts[2]})
}

// answers tells whether the verifier is one (RFC 7636, section 4.1) and the
// challenge its S256.
func answers(verifier, challenge string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

type tokenAnswer struct {
	AccessToken string `json:"access_token,omitempty"`
	TokenType   string `json:"token_type,omitempty"`
	ExpiresIn   int    `json:"expires_in"` // seconds
	ReturnURL   string `json:"return_url,omitempty"`
}

func seconds(d time.Duration) int { return int(d / time.Second) }

// badCode does not say whether the code was wrong, old, spent or somebody else's.
func (s *Service) badCode(w http.ResponseWriter, r *http.Request) {
	problems.Write(w, r, http.StatusBadRequest, "This code cannot be exchanged. Log in again.")
}

// refresh gives a new token for one that is still good. There is no second kind
// of token to keep: who does nothing for half an hour, or is half a day away from
// the last login, logs in again, which at most providers is one click.
func (s *Service) refresh(w http.ResponseWriter, r *http.Request) {
	u, c, ok := s.known(w, r)
	if !ok {
		return
	}
	if s.now().Sub(c.LoggedIn.Time) >= sessionLife {
		problems.Unauthorized(w, r, "invalid_token")
		return
	}
	if s.cfg.Delivery == deliverCookie {
		reply(w, tokenAnswer{ExpiresIn: seconds(s.setSession(w, u, c.LoggedIn.Time))})
		return
	}
	token, life := s.tokens.issue(u, c.LoggedIn.Time)
	reply(w, tokenAnswer{AccessToken: token, TokenType: "Bearer", ExpiresIn: seconds(life)})
}

// logout ends the session here: the cookie goes; a client with a bearer token
// forgets it. {"everywhere": true} ends all of the user's, at once.
func (s *Service) logout(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Everywhere bool `json:"everywhere"`
	}
	if r.ContentLength != 0 && !decode(w, r, &body) {
		return
	}
	if body.Everywhere {
		u, _, ok := s.known(w, r)
		if !ok {
			return
		}
		if err := s.cfg.Store.LogoutEverywhere(r.Context(), u.ID); err != nil {
			s.storeFailed(w, r, err)
			return
		}
		s.log.InfoContext(r.Context(), "logout everywhere", "user.id", u.ID)
	}
	if s.cfg.Delivery == deliverCookie {
		s.setCookie(w, sessionCookie, "", -time.Second, http.SameSiteStrictMode)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

const sessionCookie = "session"

// setSession gives the browser its token as a cookie that no script can read.
// Strict: only requests that our own site's pages make carry it.
func (s *Service) setSession(w http.ResponseWriter, u data.User, loggedIn time.Time) time.Duration {
	token, life := s.tokens.issue(u, loggedIn)
	s.setCookie(w, sessionCookie, token, life, http.SameSiteStrictMode)
	return life
}

type userKey struct{}

// Authenticate lets a request through with its user in the context, or answers
// 401 with WWW-Authenticate.
func (s *Service) Authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _, ok := s.known(w, r)
		if !ok {
			return
		}
		with := r.WithContext(WithUser(r.Context(), u))
		next.ServeHTTP(w, with)
		r.MultipartForm = with.MultipartForm // the server deletes the files of the request that it knows
	})
}

// UserFrom returns the user that Authenticate found.
func UserFrom(ctx context.Context) (data.User, bool) {
	u, ok := ctx.Value(userKey{}).(data.User)
	return u, ok
}

// known returns whose request it is, having answered if nobody's. The user is
// looked up every time: one who is deleted, or logged out everywhere, is out with
// the next request, on every replica.
func (s *Service) known(w http.ResponseWriter, r *http.Request) (data.User, accessClaims, bool) {
	token, sent := s.tokenOf(r)
	if !sent {
		problems.Unauthorized(w, r, "")
		return data.User{}, accessClaims{}, false
	}
	c, err := s.tokens.check(token)
	if err != nil {
		problems.Unauthorized(w, r, "invalid_token")
		return data.User{}, accessClaims{}, false
	}
	u, err := s.cfg.Store.User(r.Context(), c.Subject)
	switch {
	case errors.Is(err, data.ErrNotFound), err == nil && u.TokenEpoch != *c.Epoch:
		problems.Unauthorized(w, r, "invalid_token")
		return data.User{}, accessClaims{}, false
	case err != nil:
		s.storeFailed(w, r, err)
		return data.User{}, accessClaims{}, false
	}
	correlation.SetUser(r.Context(), u.ID)
	return u, c, true
}

// tokenOf returns the token of the request. Never from the query: that ends up in
// logs. From a cookie only if we set one: without the defence against cross-site
// requests that goes with it, a cookie must mean nothing.
func (s *Service) tokenOf(r *http.Request) (token string, sent bool) {
	if lines := r.Header.Values("Authorization"); len(lines) > 0 {
		scheme, token, _ := strings.Cut(lines[0], " ")
		if len(lines) > 1 || !strings.EqualFold(scheme, "Bearer") { // two proxies may read two users
			return "", true
		}
		return strings.TrimLeft(token, " "), true
	}
	if s.cfg.Delivery == deliverCookie {
		if c, err := r.Cookie(s.cookieName(sessionCookie)); err == nil {
			return c.Value, true
		}
	}
	return "", false
}

func (s *Service) storeFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) { // the client left: nobody reads this, nothing is broken
		problems.Unavailable(w, r, 5*time.Second)
		return
	}
	if data.Unavailable(err) {
		s.log.WarnContext(r.Context(), "database unavailable", "error", err)
		problems.Unavailable(w, r, 5*time.Second)
		return
	}
	s.log.ErrorContext(r.Context(), "request failed", "error", err)
	problems.Write(w, r, http.StatusInternalServerError, "")
}
