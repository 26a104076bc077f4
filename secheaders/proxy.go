package secheaders

import (
	"maps"
	"net/http"
	"net/http/httputil"

	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

// telling are headers by which an upstream names its software, and so the
// exploits to try.
var telling = []string{"Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version"}

// ModifyResponse is for the field of that name of httputil.ReverseProxy, which
// adds the upstream's headers to those that Handler has set: two policies would
// both hold, and two different values of X-Frame-Options none. It removes from
// the upstream's answer every header that this Middleware sets, and Server,
// X-Powered-By and the versions of ASP.NET. To let the upstream's own value of a
// header pass, name it in InsecureOmit of a variant for that route. It never
// returns an error. [Middleware.Proxy] does this and more.
func (m *Middleware) ModifyResponse(r *http.Response) error {
	for _, name := range m.tls.names {
		r.Header.Del(name)
	}
	for _, name := range m.plain.names {
		r.Header.Del(name)
	}
	for _, name := range telling {
		r.Header.Del(name)
	}
	return nil
}

// Proxy is Handler around a copy of the proxy that has [Middleware.ModifyResponse]
// behind its own:
//
//	mux.Handle("/legacy/", headers.Proxy(&httputil.ReverseProxy{Rewrite: rewrite}))
//
// It also mends what ModifyResponse cannot: when an upstream sends 103 Early
// Hints, httputil.ReverseProxy passes them on and then empties the header map, so
// that the final answer would carry none of what stands outside the proxy, no
// policy, no CORS and no request ID. Proxy puts it back.
func (m *Middleware) Proxy(p *httputil.ReverseProxy) http.Handler {
	own := *p
	own.ModifyResponse = func(r *http.Response) error {
		if p.ModifyResponse != nil {
			if err := p.ModifyResponse(r); err != nil {
				return err
			}
		}
		return m.ModifyResponse(r)
	}
	return m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := &keeper{names: m.set(r).names, before: maps.Clone(w.Header())}
		k.w.Init(w, k)
		own.ServeHTTP(k.w.View(), r)
	}))
}

// keeper restores headers that were emptied between two answers.
type keeper struct {
	w      respwriter.Writer
	names  []string // of this Middleware
	before http.Header
}

// Commit restores what was there before the proxy, if the proxy has emptied the
// map: then not one of this Middleware's headers is left.
func (k *keeper) Commit(int) {
	h := k.w.Header()
	for _, name := range k.names {
		if _, ok := h[name]; ok {
			return
		}
	}
	for name, v := range k.before {
		if now, ok := h[name]; !ok {
			h[name] = v
		} else if name == "Vary" {
			h[name] = append(now[:len(now):len(now)], v...)
		}
	}
}
