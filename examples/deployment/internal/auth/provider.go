package auth

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

const (
	providerTimeout = 10 * time.Second
	// retryAfter is how long a provider that could not be reached is not asked
	// again: its users get their 503 at once, and it gets no flood when it returns.
	retryAfter = 2 * time.Second
)

// errUnavailable: the provider does not answer, or not as a provider does.
var errUnavailable = errors.New("provider unavailable")

// provider is a Provider and what its discovery document says, once it was
// fetched.
type provider struct {
	Provider
	ctx   context.Context // of the program
	now   func() time.Time
	found atomic.Pointer[discovered]
	// failed is when discovery failed last, Unix nanoseconds.
	failed atomic.Int64
	once   singleflight.Group
}

type discovered struct {
	endpoint oauth2.Endpoint
	keys     oidc.KeySet
	issuer   string // "https://login.microsoftonline.com/{tenantid}/v2.0" for several tenants
}

func newProvider(ctx context.Context, p Provider, now func() time.Time) *provider {
	if p.HTTPClient == nil {
		p.HTTPClient = &http.Client{
			Timeout:       providerTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &provider{Provider: p, ctx: ctx, now: now}
}

// discover returns what the provider says about itself (OpenID Connect
// Discovery 1.0), asked at the first login and kept. However many wait, one asks.
func (p *provider) discover(ctx context.Context) (*discovered, error) {
	if d := p.found.Load(); d != nil {
		return d, nil
	}
	if since := p.now().UnixNano() - p.failed.Load(); since >= 0 && since < int64(retryAfter) {
		return nil, fmt.Errorf("%w: failed a moment ago", errUnavailable)
	}
	// Not with the context of the first who asks: others wait for the same answer.
	answer := p.once.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(p.ctx, providerTimeout)
		defer cancel()
		d, err := p.ask(ctx)
		if err != nil {
			p.failed.Store(p.now().UnixNano())
			return nil, fmt.Errorf("%w: %w", errUnavailable, err)
		}
		p.found.Store(d)
		return d, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return a.Val.(*discovered), nil
	}
}

func (p *provider) ask(ctx context.Context) (*discovered, error) {
	ctx = oidc.ClientContext(ctx, p.HTTPClient)
	issuer := p.documentIssuer()
	if issuer != p.Issuer {
		// Microsoft's documents for several tenants name no issuer that a token could
		// have. go-oidc compares the document with this one, and verify the token.
		ctx = oidc.InsecureIssuerURLContext(ctx, issuer)
	}
	found, err := oidc.NewProvider(ctx, p.Issuer)
	if err != nil {
		return nil, err
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := found.Claims(&document); err != nil {
		return nil, err
	}
	if document.Issuer != issuer { // go-oidc leaves this to us where the issuer was given
		return nil, fmt.Errorf("its document says issuer %q, not %q", document.Issuer, issuer)
	}
	endpoint := found.Endpoint()
	for _, link := range []string{endpoint.AuthURL, endpoint.TokenURL, document.Keys} {
		// Never from https to http, and never to a scheme that a browser runs.
		scheme, _, _ := strings.Cut(p.Issuer, ":")
		if u, err := url.Parse(link); err != nil || u.Host == "" || u.Scheme != scheme {
			return nil, errors.New("its document has an endpoint that is no URL of the issuer's scheme")
		}
	}
	// In the body, as both providers document. Trying out which way works would
	// send the code twice.
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	return &discovered{endpoint: endpoint, keys: oidc.NewRemoteKeySet(ctx, document.Keys), issuer: issuer}, nil
}

// Microsoft's tenant of all private accounts.
const consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"

// documentIssuer is the issuer that the discovery document must name.
func (p *provider) documentIssuer() string {
	base := strings.TrimSuffix(p.Issuer, "/"+p.Tenant+"/v2.0")
	switch p.Tenant {
	case "common", "organizations":
		return base + "/{tenantid}/v2.0"
	case "consumers":
		return base + "/" + consumers + "/v2.0"
	}
	return p.Issuer
}

// config is for one request to the provider. The redirect URI is made of our
// configuration alone: a Host header cannot send codes elsewhere.
func (p *provider) config(d *discovered, backend *url.URL) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: d.endpoint,
		RedirectURL: origin(backend) + "/auth/" + p.Name + "/callback",
		Scopes:      []string{oidc.ScopeOpenID, "email", "profile"},
	}
}

// redeem exchanges the provider's code for an ID token and believes it only after
// every check. Its errors hold no token, code or secret.
func (p *provider) redeem(ctx context.Context, d *discovered, backend *url.URL, code string, f flow) (data.Identity, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.HTTPClient), providerTimeout)
	defer cancel()
	answer, err := p.config(d, backend).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return data.Identity{}, exchangeError(err)
	}
	raw, ok := answer.Extra("id_token").(string)
	if !ok {
		return data.Identity{}, errors.New("no ID token in the provider's answer")
	}
	return p.verify(ctx, d, raw, f.Nonce)
}

// exchangeError tells an outage from a refusal. The library's own text has the
// whole answer of the provider in it, which may repeat what we sent.
func exchangeError(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return fmt.Errorf("%w: the token endpoint gave no answer", errUnavailable)
	}
	if status := refused.Response.StatusCode; status >= 500 || status == http.StatusTooManyRequests {
		return fmt.Errorf("%w: the token endpoint answered %d", errUnavailable, status)
	}
	return fmt.Errorf("the token endpoint refused the code: %s", knownError(refused.ErrorCode))
}

// knownError returns an error code of RFC 6749, sections 4.1.2.1 and 5.2, or
// "another error": what comes from outside goes into no log as it is.
func knownError(code string) string {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
		"invalid_scope", "access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable",
		"interaction_required", "login_required", "account_selection_required", "consent_required": // OpenID Connect Core, 3.1.2.6
		return code
	}
	return "another error"
}

type claims struct {
	Party         string `json:"azp"`
	Tenant        string `json:"tid"`
	Email         string `json:"email"`
	EmailVerified *bool  `json:"email_verified"`
	Name          string `json:"name"`
}

// verify is OpenID Connect Core 1.0, section 3.1.3.7. go-oidc checks signature,
// audience and expiry; the algorithms are given here, because it would take the
// provider's word for them, and it does not look at nonce, azp and tid.
func (p *provider) verify(ctx context.Context, d *discovered, raw, nonce string) (data.Identity, error) {
	keys := &watchedKeys{KeySet: d.keys}
	token, err := oidc.NewVerifier(d.issuer, keys, &oidc.Config{
		ClientID: p.ClientID, SupportedSigningAlgs: []string{oidc.RS256}, Now: p.now,
		SkipIssuerCheck: p.Tenant != "", // checked by tenant below
	}).Verify(ctx, raw)
	if keys.away {
		return data.Identity{}, fmt.Errorf("%w: its keys cannot be fetched", errUnavailable)
	}
	if err != nil {
		return data.Identity{}, fmt.Errorf("ID token: %w", err)
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return data.Identity{}, errors.New("ID token: claims of the wrong type")
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {
		return data.Identity{}, errors.New("ID token: made for another login (nonce)")
	}
	if (c.Party != "" || len(token.Audience) > 1) && c.Party != p.ClientID {
		return data.Identity{}, errors.New("ID token: made for another client (azp)")
	}
	issuer := d.issuer // and not the token's: Google has two spellings of its own
	if p.Tenant != "" {
		if issuer, err = p.tenantIssuer(d, token.Issuer, c.Tenant); err != nil {
			return data.Identity{}, err
		}
	}
	if plain(token.Subject) == "" {
		return data.Identity{}, errors.New("ID token: no subject")
	}
	who := data.Identity{Issuer: issuer, Subject: token.Subject, Email: plain(c.Email), Name: plain(c.Name)}
	if c.EmailVerified != nil && !*c.EmailVerified {
		who.Email = ""
	}
	who.Name = cmp.Or(who.Name, who.Email)
	return who, nil
}

// tenantIssuer checks that the token comes from the tenant it names, and that this
// tenant may log in. All tenants sign with the same keys: without this, anybody
// with a tenant of their own makes tokens for any.
func (p *provider) tenantIssuer(d *discovered, issuer, tenant string) (string, error) {
	if !tenantID.MatchString(tenant) {
		return "", errors.New("ID token: no tenant (tid)")
	}
	if issuer != strings.Replace(d.issuer, "{tenantid}", tenant, 1) {
		return "", errors.New("ID token: issuer and tenant differ")
	}
	allowed := tenant == p.Tenant
	switch p.Tenant {
	case "common":
		allowed = true
	case "organizations":
		allowed = tenant != consumers
	case "consumers":
		allowed = tenant == consumers
	}
	if !allowed {
		return "", errors.New("ID token: a tenant that may not log in")
	}
	return issuer, nil
}

// plain drops a text with control characters, or longer than a subject may be
// (OpenID Connect Core 1.0, section 2).
func plain(s string) string {
	if len(s) > 255 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return s
}

// watchedKeys remembers whether the keys could not be fetched: go-oidc's verifier
// drops the kind of the error.
type watchedKeys struct {
	oidc.KeySet
	away bool
}

func (k *watchedKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, token)
	k.away = err != nil && strings.HasPrefix(err.Error(), "fetching keys")
	return payload, err
}
