package auth

import (
	"cmp"
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/keys"
)

// Config says who may log in users, and how they get their token.
type Config struct {
	// Backend is the origin of this server; redirect_uri, iss and aud are made of
	// it. The providers must have it registered, with /auth/{name}/callback.
	Backend *url.URL
	// Frontend is the origin of the app that people see, often the same.
	Frontend *url.URL
	// Providers, in the order of the login page.
	Providers []Provider
	Keys      *keys.Ring
	Store     Store
	// Delivery of the token: "code" (default), "cookie" or "query".
	Delivery string
	// Secure: the browser talks https to Backend. Cookies are then Secure and named
	// __Host-, which no other host of the domain can set or shadow. Not over http,
	// where Safari would drop them.
	Secure bool
	Log    *slog.Logger
	// Now is for tests; nil is time.Now.
	Now func() time.Time
}

// Provider is somebody who tells us who a user is.
type Provider struct {
	// Name is its part of the paths: "google", "microsoft".
	Name string
	// Issuer is where discovery begins: what stands before
	// /.well-known/openid-configuration.
	Issuer                 string
	ClientID, ClientSecret string
	// Tenant is for Microsoft, and Issuer then ends in "/{Tenant}/v2.0": "common",
	// "organizations" (work and school), "consumers" (private), or the ID of the one
	// tenant whose users may log in. Empty for everybody else.
	Tenant string
	// HTTPClient talks to the provider; nil is one with a timeout of ten seconds that
	// follows no redirects: the client secret goes to no third party.
	HTTPClient *http.Client
}

// Store is what a login needs of the database; *data.DB has it.
type Store interface {
	UpsertUser(ctx context.Context, who data.Identity) (data.User, error)
	User(ctx context.Context, id string) (data.User, error)
	LogoutEverywhere(ctx context.Context, id string) error
	SaveCode(ctx context.Context, hash [32]byte, userID, challenge string, expires time.Time) error
	TakeCode(ctx context.Context, hash [32]byte) (userID, challenge string, err error)
}

// The ways in which the frontend gets its token.
const (
	deliverCode   = "code"
	deliverCookie = "cookie"
	deliverQuery  = "query"
)

// Service logs users in and knows them again. It is safe for concurrent use.
type Service struct {
	cfg       Config
	providers map[string]*provider
	seals     []cipher.AEAD // current first
	tokens    *tokens
	log       *slog.Logger
	now       func() time.Time
}

var providerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// New returns every mistake of the Config at once. It asks no provider: one that
// is away must not keep the server from starting. ctx ends what is asked later.
func New(ctx context.Context, cfg Config) (*Service, error) {
	cfg.Delivery = cmp.Or(cfg.Delivery, deliverCode)
	s := &Service{cfg: cfg, providers: map[string]*provider{}, log: cfg.Log, now: cfg.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	errs := cfg.mistakes()
	for i, p := range cfg.Providers {
		for _, why := range p.mistakes() {
			errs = append(errs, fmt.Errorf("auth: Providers[%d] %q: %s", i, p.Name, why))
		}
		if _, twice := s.providers[p.Name]; twice {
			errs = append(errs, fmt.Errorf("auth: Providers[%d] %q: is there twice", i, p.Name))
		}
		s.providers[p.Name] = newProvider(ctx, p, s.now)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.cfg.Providers = slices.Clone(cfg.Providers)
	s.seals = newSeals(cfg.Keys.All("oauth-state"))
	s.tokens = newTokens(cfg.Keys.All("access-token"), origin(cfg.Backend), s.now)
	return s, nil
}

func (c Config) mistakes() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("auth: "+format, args...)) }
	if c.Keys == nil {
		bad("Keys: are missing")
	}
	if c.Store == nil {
		bad("Store: is missing")
	}
	if !slices.Contains([]string{deliverCode, deliverCookie, deliverQuery}, c.Delivery) {
		bad("Delivery: %q is none of code, cookie, query", c.Delivery)
	}
	for name, u := range map[string]*url.URL{"Backend": c.Backend, "Frontend": c.Frontend} {
		if u == nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
			bad("%s: is no origin like https://app.example.com", name)
			return errs // the rest compares them
		}
	}
	if c.Secure != (c.Backend.Scheme == "https") {
		bad("Secure: is %t, but Backend is %s", c.Secure, origin(c.Backend))
	}
	if c.Delivery == deliverQuery && c.Backend.Scheme == "https" {
		bad(`Delivery: "query" puts the token into logs, browser histories and Referer; it is for http on a developer's machine; use "code"`)
	}
	if c.Delivery == deliverCookie && !sameSite(c.Backend, c.Frontend) {
		bad(`Delivery: "cookie" needs a Frontend on the site of Backend: browsers send no cookie from %s to %s; use "code"`,
			origin(c.Frontend), origin(c.Backend))
	}
	return errs
}

var tenantID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func (p Provider) mistakes() (why []string) {
	bad := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if !providerName.MatchString(p.Name) {
		bad("Name: must be lower-case letters, digits and hyphens: it is part of a path")
	}
	if u, err := url.Parse(p.Issuer); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		bad("Issuer: %q is no URL", p.Issuer)
	}
	if p.ClientID == "" || p.ClientSecret == "" {
		bad("ClientID, ClientSecret: both are required")
	}
	switch {
	case p.Tenant == "" && p.Name == "microsoft":
		bad(`Tenant: is required: "common", "organizations", "consumers" or a tenant's ID`)
	case p.Tenant == "":
	case p.Tenant != "common" && p.Tenant != "organizations" && p.Tenant != "consumers" && !tenantID.MatchString(p.Tenant):
		bad(`Tenant: %q is not "common", "organizations", "consumers" or a tenant's ID (a lower-case UUID)`, p.Tenant)
	case !strings.HasSuffix(p.Issuer, "/"+p.Tenant+"/v2.0"):
		bad("Issuer: %q must end in /%s/v2.0", p.Issuer, p.Tenant)
	}
	return why
}

// origin is scheme and host, as browsers write it.
func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}

// sameSite as browsers mean it: the scheme and the registrable domain. The port
// does not count.
func sameSite(a, b *url.URL) bool {
	if a.Scheme != b.Scheme {
		return false
	}
	x, y := strings.ToLower(a.Hostname()), strings.ToLower(b.Hostname())
	if x == y {
		return true
	}
	dx, errx := publicsuffix.EffectiveTLDPlusOne(x)
	dy, erry := publicsuffix.EffectiveTLDPlusOne(y)
	return errx == nil && erry == nil && dx == dy
}
