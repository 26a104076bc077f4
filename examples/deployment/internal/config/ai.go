package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
)

// streamMax is half a minute less than the shortest limit of the platforms that
// forwarded.Platform knows: Cloud Run ends a response after 5 minutes unless told
// otherwise (docs.cloud.google.com/run/docs/configuring/request-timeout, 2026-11).
// Coming back costs a client one request and nothing at the provider.
const streamMax = 4*time.Minute + 30*time.Second

// minStreamMax keeps a mistyped unit from making a storm of requests.
const minStreamMax = 500 * time.Millisecond

// vendors are the AI providers and their variables, in the default order.
var vendors = []struct {
	name, key, prefix string
	of                func(*AI) *Endpoint
}{
	{"anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC", func(a *AI) *Endpoint { return &a.Anthropic }},
	{"gemini", "GOOGLE_API_KEY", "GEMINI", func(a *AI) *Endpoint { return &a.Gemini }},
	{"deepseek", "DEEPSEEK_API_KEY", "DEEPSEEK", func(a *AI) *Endpoint { return &a.DeepSeek }},
}

// ai reads who answers. Without a key development has the echo; production starts
// all the same, and chat says that it is not configured: the rest of the
// application needs no AI.
func (l *loader) ai(c Config) AI {
	before := len(l.errs)
	a := AI{
		MaxTokens:  l.number("AI_MAX_TOKENS", 4096, 1, 1_000_000),
		Concurrent: l.number("AI_CONCURRENT", 2, 1, 100),
	}
	order := l.list("AI_PROVIDER_ORDER")
	for _, v := range vendors {
		e := v.of(&a)
		*e = l.endpoint(v.key, v.prefix)
		if order == nil && e.Key != "" {
			a.Order = append(a.Order, v.name)
		}
		if slices.Contains(order, v.name) && e.Key == "" {
			l.bad("AI_PROVIDER_ORDER", "names %s, and %s is missing", v.name, v.key)
		}
	}
	if order != nil {
		a.Order = order
		l.order(c, order)
	} else if a.Order == nil && !c.Production() {
		a.Order = []string{ai.Echo}
	}
	for _, limit := range c.RateAITokens {
		if burst := max(limit.Burst, limit.Requests); burst < int64(a.MaxTokens) {
			l.bad("RATE_LIMIT_AI_TOKENS", "%d tokens are less than one answer may take: AI_MAX_TOKENS is %d", burst, a.MaxTokens)
		}
	}
	if a.Order != nil && len(l.errs) == before {
		_, err := ai.New(a.Settings(), nil) // what else it does not like
		l.wrap("AI_PROVIDER_ORDER", err)
	}
	return a
}

// Settings are those of package ai.
func (a AI) Settings() ai.Settings {
	of := func(e Endpoint) ai.Endpoint {
		return ai.Endpoint{Key: ai.Key(e.Key.Reveal()), BaseURL: e.BaseURL, Model: e.Model}
	}
	return ai.Settings{
		Order: a.Order, Anthropic: of(a.Anthropic), Gemini: of(a.Gemini), DeepSeek: of(a.DeepSeek), MaxTokens: a.MaxTokens,
	}
}

func (l *loader) order(c Config, order []string) {
	known := func(name string) bool {
		for _, v := range vendors {
			if v.name == name {
				return true
			}
		}
		return name == ai.Echo
	}
	for i, name := range order {
		switch {
		case !known(name):
			l.bad("AI_PROVIDER_ORDER", "%q is none of anthropic, gemini, deepseek", name)
		case slices.Contains(order[:i], name):
			l.bad("AI_PROVIDER_ORDER", "names %s twice", name)
		case name == ai.Echo && c.Production():
			l.bad("AI_PROVIDER_ORDER", `"echo" repeats what it is told; production needs a provider, or no AI at all: leave it empty`)
		case name == ai.Echo && len(order) > 1:
			l.bad("AI_PROVIDER_ORDER", `"echo" stands alone: it never fails, and would hide that another did`)
		}
	}
}

// endpoint has no default for the model: their names go out of use within months,
// and a program that was built before would stop answering one day.
func (l *loader) endpoint(key, prefix string) Endpoint {
	e := Endpoint{
		Key: Secret(l.env(key)), BaseURL: l.baseURL(prefix + "_BASE_URL"), Model: l.env(prefix + "_MODEL"),
	}
	if strings.ContainsFunc(e.Key.Reveal(), notVisible) {
		l.bad(key, "has a space or a character that no key has; was it copied with a line break?")
	}
	if strings.ContainsFunc(e.Model, notVisible) {
		l.bad(prefix+"_MODEL", "%q is no model's name", e.Model)
	}
	if e.Key != "" && e.Model == "" {
		l.bad(prefix+"_MODEL", "is missing; %s is set, and models come and go too fast for a default", key)
	}
	return e
}

func notVisible(r rune) bool { return r <= ' ' || r > '~' }

// baseURL may have a path, as a gateway's has. It is https, or on this very
// machine: the key and all that users say pass over it.
func (l *loader) baseURL(variable string) string {
	v := l.env(variable)
	if v == "" {
		return ""
	}
	u, err := url.Parse(strings.TrimSuffix(v, "/"))
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		(u.Scheme != "http" && u.Scheme != "https") {
		l.bad(variable, "is no URL like https://gateway.example.com/v1 (no user, query or fragment)") // it may hold a key
		return ""
	}
	if u.Scheme != "https" && !loopback(u.Hostname()) {
		l.bad(variable, "%q must be https: the key would cross the network in the clear", v)
	}
	return u.String()
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
