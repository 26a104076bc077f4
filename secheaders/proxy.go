package secheaders

import "net/http"

// telling are headers by which an upstream names its software, and so the
// exploits to try.
var telling = []string{"Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version"}

// ModifyResponse is for the field of that name of httputil.ReverseProxy, which
// adds the upstream's headers to those that Handler has set: two policies would
// both hold, and two different values of X-Frame-Options none. It removes from
// the upstream's answer every header that this Middleware sets, and Server,
// X-Powered-By and the versions of ASP.NET. Handler stands outside the proxy:
//
//	proxy := &httputil.ReverseProxy{Rewrite: rewrite, ModifyResponse: headers.ModifyResponse}
//	handler := headers.Handler(proxy)
//
// To let the upstream's own value of a header pass, name it in InsecureOmit of a
// variant for that route. It never returns an error.
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
