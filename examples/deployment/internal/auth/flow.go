package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// flowLife is how long a user may take at the provider: passwords are looked up,
// second factors fetched. The cookie is good for this long.
const flowLife = 10 * time.Minute

// requestLife is how long the frontend may take from initiate to login.
const requestLife = 2 * time.Minute

// flow is one login in progress. It lives, sealed, in a cookie of the browser that
// began it: there is no table to fill up, and no other browser can go on with it.
type flow struct {
	State    string // for the provider: the answer belongs to this browser
	Nonce    string // for the ID token: it was made for this login
	Verifier string // PKCE towards the provider
	request
}

// request is what the frontend asked for. It travels alone, sealed, in the URL
// that leads from the frontend of another origin to our login: it says nothing
// about the browser, so whoever opens the URL begins a login of their own.
type request struct {
	Challenge string // PKCE of the frontend towards us; "" unless Delivery is "code"
	Return    string
	AppState  string // comes back to the frontend beside the code
	Expires   int64  // Unix seconds
}

// newSeals makes AES-256-GCM ciphers. The nonce is random, 96 bits: below 2^32
// messages per key the chance of a repeated one is negligible (NIST SP 800-38D).
func newSeals(secrets [][32]byte) []cipher.AEAD {
	all := make([]cipher.AEAD, len(secrets))
	for i, secret := range secrets {
		block, err := aes.NewCipher(secret[:])
		if err != nil {
			panic(err) // 32 bytes are a key
		}
		if all[i], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			panic(err) // AES has the block size
		}
	}
	return all
}

var errSeal = errors.New("not sealed by us for this use")

// seal encrypts v for one use ("flow google"): a text sealed for another use, or
// another provider, does not open.
func (s *Service) seal(use string, v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return base64.RawURLEncoding.EncodeToString(s.seals[0].Seal(nil, nil, text, []byte(use)))
}

func (s *Service) open(use, sealed string, v any) error {
	if len(sealed) > 8<<10 {
		return errSeal
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return errSeal
	}
	for _, aead := range s.seals {
		if text, err := aead.Open(nil, nil, raw, []byte(use)); err == nil {
			return json.Unmarshal(text, v)
		}
	}
	return errSeal
}

// random returns 256 bits, base64url.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (s *Service) expired(unix int64) bool { return !s.now().Before(time.Unix(unix, 0)) }

// cookieName adds the prefix that makes the browser refuse the cookie from any
// other host, from http, and with a Domain (RFC 6265bis, section 4.1.3.2).
func (s *Service) cookieName(name string) string {
	if s.cfg.Secure {
		return "__Host-" + name
	}
	return name
}

// setCookie sets a cookie for some time, or deletes it with life < 0.
func (s *Service) setCookie(w http.ResponseWriter, name, value string, life time.Duration, site http.SameSite) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: s.cfg.Secure, HttpOnly: true, SameSite: site,
	})
}

func flowCookie(p *provider) string { return "login-" + p.Name }

// setFlow keeps the flow in the browser. Lax: the provider's redirect is a
// top-level GET from another site, and must bring the cookie along; nothing else
// from there does.
func (s *Service) setFlow(w http.ResponseWriter, p *provider, f flow) {
	s.setCookie(w, flowCookie(p), s.seal("flow "+p.Name, f), flowLife, http.SameSiteLaxMode)
}

func (s *Service) dropFlow(w http.ResponseWriter, p *provider) {
	s.setCookie(w, flowCookie(p), "", -time.Second, http.SameSiteLaxMode)
}

func (s *Service) getFlow(r *http.Request, p *provider) (f flow, err error) {
	c, err := r.Cookie(s.cookieName(flowCookie(p)))
	if err != nil {
		return flow{}, errors.New("no cookie of a login")
	}
	if err := s.open("flow "+p.Name, c.Value, &f); err != nil {
		return flow{}, err
	}
	if s.expired(f.Expires) {
		return flow{}, errors.New("login begun too long ago")
	}
	return f, nil
}
