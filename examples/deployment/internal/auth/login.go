package auth

import (
	"cmp"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/problems"
)

// Register adds the routes, under /auth and /api/auth.
func (s *Service) Register(mux *http.ServeMux) {
	for method, routes := range map[string]map[string]http.HandlerFunc{
		"GET ": {
			"/auth/providers":           s.list,
			"/auth/{provider}/login":    s.login,
			"/auth/{provider}/callback": s.callback,
		},
		"POST ": {
			"/auth/{provider}/initiate": s.initiate,
			"/auth/token":               s.exchange,
			"/auth/refresh":             s.refresh,
			"/auth/logout":              s.logout,
		},
	} {
		for path, h := range routes {
			mux.HandleFunc(method+path, h)
			mux.HandleFunc(method+"/api"+path, h)
		}
	}
}

func (s *Service) list(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		Name  string `json:"name"`
		Label string `json:"label"`
	}
	all := make([]entry, 0, len(s.cfg.Providers))
	for _, p := range s.cfg.Providers {
		all = append(all, entry{p.Name, strings.ToUpper(p.Name[:1]) + p.Name[1:]})
	}
	reply(w, map[string]any{"delivery": s.cfg.Delivery, "providers": all})
}

// provider returns the one of the path, having answered 404 or 503 if it cannot
// be used. The other providers go on working.
func (s *Service) provider(w http.ResponseWriter, r *http.Request) (*provider, *discovered, bool) {
	p, ok := s.providers[r.PathValue("provider")]
	if !ok {
		problems.Write(w, r, http.StatusNotFound, "There is no such login provider.")
		return nil, nil, false
	}
	d, err := p.discover(r.Context())
	if err != nil {
		s.away(w, r, p, err)
		return nil, nil, false
	}
	return p, d, true
}

func (s *Service) away(w http.ResponseWriter, r *http.Request, p *provider, err error) {
	if r.Context().Err() == nil { // else it is the client that is away
		text := err.Error()
		s.log.WarnContext(r.Context(), "login provider unavailable", "provider", p.Name, "error", text[:min(len(text), 300)])
	}
	problems.Unavailable(w, r, 5*time.Second)
}

// initiate begins a login for the frontend: the URL to go to, and the state that
// will come back.
func (s *Service) initiate(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Challenge string `json:"challenge"`
		ReturnURL string `json:"return_url"`
	}
	if !decode(w, r, &body) {
		return
	}
	ret, ok := returnURL(body.ReturnURL)
	if !ok {
		problems.Write(w, r, http.StatusBadRequest, "return_url must be a path of the frontend, like /threads.")
		return
	}
	if s.cfg.Delivery == deliverCode && !isS256(body.Challenge) {
		problems.Write(w, r, http.StatusBadRequest, "challenge must be the base64url of a SHA-256 sum, 43 characters.")
		return
	}
	p, d, ok := s.provider(w, r)
	if !ok {
		return
	}
	q := request{Challenge: body.Challenge, Return: ret}
	var to string
	if sameOrigin(s.cfg.Backend, s.cfg.Frontend) {
		to, q.AppState = s.begin(w, p, d, q)
	} else {
		// A cookie set in this answer would be a third party's, which browsers drop.
		// So the browser comes to us first, in its address bar.
		q.AppState, q.Expires = random(), s.now().Add(requestLife).Unix()
		to = origin(s.cfg.Backend) + "/auth/" + p.Name + "/login?request=" + s.seal("request "+p.Name, q)
	}
	reply(w, map[string]string{"auth_url": to, "state": q.AppState})
}

// isS256 tells whether s is the base64url of 32 bytes.
func isS256(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == 32 && len(s) == 43 // the decoder skips line ends
}

// begin keeps a fresh flow in the browser and returns the provider's URL, and the
// state for the frontend. State, nonce and verifier are made here, for this
// browser alone: nothing that came in a URL takes part in them, or two browsers
// could share a login.
func (s *Service) begin(w http.ResponseWriter, p *provider, d *discovered, q request) (to, state string) {
	q.Expires = s.now().Add(flowLife).Unix()
	f := flow{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), request: q}
	f.AppState = cmp.Or(q.AppState, f.State)
	s.setFlow(w, p, f)
	return p.config(d, s.cfg.Backend).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier),
		// Or whoever sits at a shared computer gets the last user's account unasked.
		oauth2.SetAuthURLParam("prompt", "select_account")), f.AppState
}

// login is where auth_url leads when the frontend is another origin. Without a
// challenge to carry, a plain link to it works too.
func (s *Service) login(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	var q request
	switch sealed := query.Get("request"); {
	case sealed != "":
		if err := s.open("request "+r.PathValue("provider"), sealed, &q); err != nil || s.expired(q.Expires) {
			s.refuse(w, r, r.PathValue("provider"), "invalid_request", "", errors.New("login request not sealed by us, or old"))
			return
		}
	case s.cfg.Delivery == deliverCode:
		problems.Write(w, r, http.StatusBadRequest, "Begin with POST /auth/{provider}/initiate.")
		return
	default:
		ret, ok := returnURL(query.Get("return_url"))
		if !ok {
			problems.Write(w, r, http.StatusBadRequest, "return_url must be a path of the frontend, like /threads.")
			return
		}
		q = request{Return: ret}
	}
	p, d, ok := s.provider(w, r)
	if !ok {
		return
	}
	to, _ := s.begin(w, p, d, q)
	redirect(w, r, to)
}

// callback is where the provider sends the browser back to.
func (s *Service) callback(w http.ResponseWriter, r *http.Request) {
	p, d, ok := s.provider(w, r)
	if !ok {
		return
	}
	f, err := s.getFlow(r, p)
	query, malformed := url.ParseQuery(r.URL.RawQuery)
	if err == nil && (malformed != nil || len(query["state"]) != 1 ||
		subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(f.State)) != 1) {
		// The cookie stays: this is somebody else's answer, and the login that the
		// cookie belongs to may still be going on.
		err = errors.New("state is not this browser's")
	}
	if err != nil {
		s.refuse(w, r, p.Name, "invalid_request", "", err)
		return
	}
	code, failure, err := answerOf(query, p, d)
	if err != nil {
		s.dropFlow(w, p)
		s.refuse(w, r, p.Name, failure, f.AppState, err)
		return
	}
	who, err := p.redeem(r.Context(), d, s.cfg.Backend, code, f)
	if errors.Is(err, errUnavailable) {
		s.away(w, r, p, err) // the cookie stays: a reload tries again
		return
	}
	s.dropFlow(w, p)
	if err != nil {
		s.refuse(w, r, p.Name, "login_failed", f.AppState, err)
		return
	}
	user, err := s.cfg.Store.UpsertUser(r.Context(), who)
	if err != nil {
		s.storeFailed(w, r, err)
		return
	}
	s.log.InfoContext(r.Context(), "login", "provider", p.Name, "user.id", user.ID)
	s.deliver(w, r, user, f)
}

// answerOf reads the provider's answer (RFC 6749, section 4.1.2).
func answerOf(query url.Values, p *provider, d *discovered) (code, failure string, err error) {
	if iss := query.Get("iss"); iss != "" && p.Tenant == "" && iss != d.issuer { // RFC 9207
		return "", "login_failed", errors.New("the answer names another issuer")
	}
	if e := query.Get("error"); e == "access_denied" {
		return "", "access_denied", errors.New("the user said no")
	} else if e != "" {
		return "", "login_failed", errors.New("the provider answered " + knownError(e))
	}
	if code = query.Get("code"); code == "" || len(query["code"]) != 1 || len(code) > 4096 {
		return "", "login_failed", errors.New("the answer has not one code")
	}
	return code, "", nil
}

// deliver leads the browser to the frontend, with what Delivery says.
func (s *Service) deliver(w http.ResponseWriter, r *http.Request, u data.User, f flow) {
	front := origin(s.cfg.Frontend)
	switch s.cfg.Delivery {
	case deliverCookie:
		s.setSession(w, u, s.now())
		redirect(w, r, front+f.Return)
	case deliverQuery:
		token, _ := s.tokens.issue(u, s.now())
		redirect(w, r, front+"/auth/callback?"+url.Values{
			"token": {token}, "state": {f.AppState}, "return_url": {f.Return},
		}.Encode())
	default:
		code, err := s.newCode(r, u, f)
		if err != nil {
			s.storeFailed(w, r, err)
			return
		}
		redirect(w, r, front+"/auth/callback?"+url.Values{"code": {code}, "state": {f.AppState}}.Encode())
	}
}

// refuse leads the browser back to the frontend, which says what went wrong in
// the user's words; ours go into the log.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, provider, code, state string, why error) {
	if _, known := s.providers[provider]; !known {
		provider = "unknown"
	}
	s.log.WarnContext(r.Context(), "login refused", "provider", provider, "error", why)
	query := url.Values{"error": {code}}
	if state != "" {
		query.Set("state", state)
	}
	redirect(w, r, origin(s.cfg.Frontend)+"/auth/callback?"+query.Encode())
}

// redirect leads on by GET (303) to a URL with secrets in it: no cache keeps it,
// no page is told where the browser came from.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", to) // http.Redirect would write a page with the URL in it
	w.WriteHeader(http.StatusSeeOther)
}

// decode reads a JSON body of at most 8 KiB. The media type is asked for: forms
// of other sites cannot send it (a browser asks by CORS first).
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	if ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || ct != "application/json" {
		problems.Write(w, r, http.StatusUnsupportedMediaType, "Send application/json.")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<10))
	err := d.Decode(v)
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		problems.Write(w, r, http.StatusRequestEntityTooLarge, "The body is too long.")
		return false
	}
	if err != nil || d.More() {
		problems.Write(w, r, http.StatusBadRequest, "The body is not the JSON object that belongs here.")
		return false
	}
	return true
}

func reply(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers only
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n')) // a client that left is no error of ours
}
