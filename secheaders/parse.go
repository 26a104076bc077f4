package secheaders

import (
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// deprecated are directives that browsers have dropped, with what to do instead.
var deprecated = map[string]string{
	"block-all-mixed-content": "browsers upgrade or block mixed content by themselves; use upgrade-insecure-requests",
	"navigate-to":             "no browser has kept it",
	"plugin-types":            "there are no plugins any more; use object-src 'none'",
	"prefetch-src":            "no browser has kept it; default-src covers prefetches",
	"referrer":                "use the Referrer-Policy header",
	"reflected-xss":           "no browser has kept it",
	"require-sri-for":         "use the Integrity-Policy header",
}

// ParsePolicy reads a policy as it stands in a header or an environment variable
// and applies the checks of New, all at once. It takes line breaks as white
// space, empty directives between semicolons, and directives in any order;
// nothing else is forgiven: an unknown, misspelt, upper-case, deprecated or
// repeated directive, a comma (a second policy), and every mistake in a source
// are errors. The result prints to an equal policy on one line.
//
// A nonce is written 'nonce-{nonce}': see [NonceSource].
func ParsePolicy(s string) (*Policy, error) {
	l := mistakes.In(pkg)
	p := &Policy{}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, ";") {
		words := strings.FieldsFunc(part, isSpace)
		if len(words) == 0 {
			continue
		}
		name, values := words[0], words[1:]
		if seen[name] {
			l.Add(name, "", "is given twice; browsers take the first and ignore the second")
			continue
		}
		seen[name] = true
		p.read(l, name, values)
	}
	if len(seen) == 0 {
		l.Add("", s, "has no directive")
	}
	policyCheck{List: l}.policy(p)
	if err := l.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// isSpace is the ASCII white space of the Infra standard, which separates the
// words of a directive.
func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\f' || r == '\r' }

// read puts one directive into its field.
func (p *Policy) read(l *mistakes.List, name string, values []string) {
	if i := slices.IndexFunc(directives, func(d directive) bool { return d.name == name }); i >= 0 {
		list := make([]Source, len(values)) // not nil: an empty list is a mistake
		for j, v := range values {
			list[j] = Source(v)
		}
		*directives[i].list(p) = list
		return
	}
	switch name {
	case dirSandbox:
		p.Sandbox = make([]SandboxToken, len(values))
		for i, v := range values {
			p.Sandbox[i] = SandboxToken(v)
		}
	case dirTrustedTypes:
		p.TrustedTypes = append([]string{}, values...)
	case dirReportURI:
		p.ReportURI = append([]string{}, values...)
	case dirRequireTT:
		p.RequireTrustedTypes = true
		if !slices.Equal(values, []string{"'script'"}) {
			l.Add(name, strings.Join(values, " "), "takes exactly the value 'script'")
		}
	case dirReportTo:
		if len(values) != 1 {
			l.Add(name, strings.Join(values, " "), "takes exactly one endpoint name")
			return
		}
		p.ReportTo = values[0]
	case dirUpgrade:
		p.UpgradeInsecure = true
		if len(values) > 0 {
			l.Add(name, strings.Join(values, " "), "takes no value")
		}
	default:
		l.Add(name, "", "%s", unknownDirective(name))
	}
}

func unknownDirective(name string) string {
	if why, ok := deprecated[strings.ToLower(name)]; ok {
		return "is deprecated: " + why
	}
	known := []string{dirSandbox, dirTrustedTypes, dirRequireTT, dirReportURI, dirReportTo, dirUpgrade}
	for _, d := range directives {
		known = append(known, d.name)
	}
	if lower := strings.ToLower(name); lower != name && slices.Contains(known, lower) {
		return "has upper-case letters; write " + lower
	}
	return "is no directive of CSP" + didYouMean(name, known)
}
