package ai

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Settings say whom to ask and how long to wait. The zero value is the echo.
type Settings struct {
	// Order of the providers: "anthropic", "gemini", "deepseek", "echo"; the next
	// one is asked if the one before failed without a byte of text. Empty: those
	// with a key, in this order; without any key, the echo.
	Order                       []string
	Anthropic, Gemini, DeepSeek Endpoint

	// MaxTokens of an answer where the request does not say; default 4096. It
	// bounds what one call can cost, and includes a thinking model's thoughts.
	MaxTokens int
	// FirstByte is how long a provider may take from the call to the first piece
	// of text or thought; default 60 s. Headers, pings and comments do not count:
	// DeepSeek sends them for minutes while a request waits in its queue, and
	// somebody else could answer meanwhile. A thinking model thinks for tens of
	// seconds, and Gemini is silent while it does, so much less would cut paid
	// calls. People wait for (number of providers) × FirstByte at worst.
	FirstByte time.Duration
	// Idle is how long a stream may be silent; default 60 s. Here every byte
	// counts, comments and pings too: they are sent to say that work goes on. Time
	// spent in emit does not count.
	Idle time.Duration
	// Total bounds one call; default 10 min. It is the end of a stream that drips.
	Total time.Duration
	// EchoDelay is between the words of the echo; default 20 ms, so that one sees
	// it stream; negative: none.
	EchoDelay time.Duration
}

// Endpoint is an account at a vendor.
type Endpoint struct {
	Key Key
	// BaseURL without the API's path; empty: the vendor's own. https, or http to a
	// loopback address: the key would travel in the clear.
	BaseURL string
	// Model is required with a key. There is no default because names of models
	// rot: a vendor retires one within a year or two, and a default that worked
	// when the program was built becomes a 404, or another price, by itself.
	Model string
}

// The names of the providers.
const (
	Anthropic = "anthropic"
	Gemini    = "gemini"
	DeepSeek  = "deepseek"
	Echo      = "echo"
)

// The vendors' own addresses.
const (
	anthropicURL = "https://api.anthropic.com"
	geminiURL    = "https://generativelanguage.googleapis.com"
	deepseekURL  = "https://api.deepseek.com"
)

// Names returns the providers that New would use. Production refuses a list with
// Echo in it: it answers everybody with his own words and calls that AI.
func (s Settings) Names() []string {
	if len(s.Order) > 0 {
		return slices.Clone(s.Order)
	}
	var names []string
	for _, name := range []string{Anthropic, Gemini, DeepSeek} {
		if s.endpoint(name).Key != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = []string{Echo}
	}
	return names
}

// Hosts returns the "host:port" of every provider that New would use, for
// correlation.Config.PropagateTo: they get the correlation ID, nobody else.
func (s Settings) Hosts() []string {
	var hosts []string
	for _, name := range s.Names() {
		if u, err := url.Parse(s.endpoint(name).BaseURL); err == nil && u.Host != "" {
			port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
			hosts = append(hosts, net.JoinHostPort(u.Hostname(), port))
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// endpoint returns an endpoint with its default address; the zero one for echo.
func (s Settings) endpoint(name string) Endpoint {
	var e Endpoint
	switch name {
	case Anthropic:
		e = s.Anthropic
		e.BaseURL = cmp.Or(e.BaseURL, anthropicURL)
	case Gemini:
		e = s.Gemini
		e.BaseURL = cmp.Or(e.BaseURL, geminiURL)
	case DeepSeek:
		e = s.DeepSeek
		e.BaseURL = cmp.Or(e.BaseURL, deepseekURL)
	}
	e.BaseURL = strings.TrimRight(e.BaseURL, "/")
	return e
}

// New returns one Provider: the first of the order, then the next ones if it
// fails before the first byte of text. All mistakes come at once, and none shows
// a key.
//
// The client (nil: one with NewTransport) is copied; its Timeout, CheckRedirect
// and Jar are not used. For the correlation ID to go upstream, its Transport is
// the correlation middleware's: ids.Transport(ai.NewTransport()).
func New(s Settings, client *http.Client) (Provider, error) {
	s.MaxTokens = cmp.Or(s.MaxTokens, 4096)
	s.FirstByte = cmp.Or(s.FirstByte, time.Minute)
	s.Idle = cmp.Or(s.Idle, time.Minute)
	s.Total = cmp.Or(s.Total, 10*time.Minute)
	s.EchoDelay = cmp.Or(s.EchoDelay, 20*time.Millisecond)

	var mistakes []error
	if s.MaxTokens < 0 || s.FirstByte < 0 || s.Idle < 0 || s.Total < 0 {
		mistakes = append(mistakes, errors.New("ai: MaxTokens, FirstByte, Idle and Total must not be negative"))
	}
	var all fallback
	for i, name := range s.Names() {
		if slices.Contains(s.Names()[:i], name) {
			mistakes = append(mistakes, fmt.Errorf("ai: Order[%d] %q is there twice: a call is never retried", i, name))
			continue
		}
		p, err := s.provider(name, prepare(client))
		all = append(all, p)
		mistakes = append(mistakes, err)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

func (s Settings) provider(name string, client *http.Client) (Provider, error) {
	var f format
	switch e := s.endpoint(name); name {
	case Echo:
		return echo{s.EchoDelay, s.MaxTokens}, nil
	case Anthropic:
		f = anthropicFormat{e}
	case Gemini:
		f = geminiFormat{e}
	case DeepSeek:
		f = deepseekFormat{e}
	default:
		return nil, fmt.Errorf("ai: Order: %q is none of anthropic, gemini, deepseek, echo", name)
	}
	e := s.endpoint(name)
	return &vendor{name: name, endpoint: e, settings: s, client: client, format: f}, e.check(name)
}

// modelName is what may go into a URL's path and a JSON string unharmed.
var modelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$`)

func (e Endpoint) check(name string) error {
	var mistakes []error
	wrong := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("ai: "+name+": "+format, args...))
	}
	switch {
	case e.Key == "":
		wrong("is in the order but has no key")
	case strings.ContainsFunc(string(e.Key), func(r rune) bool { return r <= ' ' || r > '~' }):
		wrong("the key has a space or a character that no header can hold")
	}
	switch {
	case e.Model == "":
		wrong("the model is required: its name is in the vendor's list of models, and no default would stay right")
	case !modelName.MatchString(e.Model) || strings.Contains(e.Model, ".."):
		wrong("the model %q is no model's name", e.Model)
	}
	u, err := url.Parse(e.BaseURL)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		// Not quoted, like the next one: it may hold a password.
		wrong("the base URL is no URL like https://api.example.com")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		wrong("the base URL must be without user, query and fragment: keys belong into the key")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		wrong("the base URL %q must be https: the key would travel in the clear", e.BaseURL)
	}
	return errors.Join(mistakes...)
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
