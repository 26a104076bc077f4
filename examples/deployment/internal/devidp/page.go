package devidp

import (
	"html/template"
	"net/http"
)

// page asks whom to log in as. One form per choice, no script; what the client
// asked stays in the form's own URL.
func (p *IDP) page(w http.ResponseWriter, r *http.Request) {
	if _, ok := p.asked(r); !ok {
		http.Error(w, "This is no authorization request of the app.", http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	// As strict as the app's own, but without form-action: browsers apply that to
	// the redirects after the form too, and the last one leads to the frontend, which
	// may be another origin.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	_ = pageTemplate.Execute(w, map[string]any{ // a client that left is no error of ours
		"Provider": map[string]string{google: "Google", microsoft: "Microsoft"}[r.PathValue("provider")],
		"Action":   "?" + r.URL.RawQuery,
		"Style":    Prefix + "style.css",
		"Users":    users,
	})
}

var pageTemplate = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in: development {{.Provider}}</title>
<link rel="stylesheet" href="{{.Style}}">
</head>
<body>
<main>
<h1>Log in</h1>
<p>This stands for {{.Provider}} on a developer's machine. Nobody is asked for a password.</p>
{{range .Users}}<form method="post" action="{{$.Action}}">
<button name="user" value="{{.ID}}" id="user-{{.ID}}"><strong>{{.Name}}</strong> <span>{{.Email}}</span></button>
</form>
{{end}}<form method="post" action="{{.Action}}">
<button name="user" value="" id="cancel" class="quiet">Cancel</button>
</form>
</main>
</body>
</html>
`))

func style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write([]byte(`:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center }
main { width: min(24rem, 90vw) }
form { margin: 0 0 .75rem }
button { width: 100%; padding: .75rem 1rem; font: inherit; text-align: start; cursor: pointer;
  border: 1px solid GrayText; border-radius: .5rem; background: Field; color: FieldText }
button:hover, button:focus-visible { outline: 3px solid Highlight; outline-offset: 1px }
button span { display: block; opacity: .8; font-size: .9em }
.quiet { border-color: transparent; text-align: center }
`))
}
