package spa

import (
	"fmt"
	"strconv"
	"strings"
)

// BuildError is something wrong with a build: New returns those that make the
// app fail, joined with the mistakes of the Config, and [Middleware.Warnings]
// those that will hurt.
type BuildError struct {
	// File is the file of the build that is wrong: "index.html". Empty where it
	// is the build as a whole.
	File string
	// Ref is what in that file is wrong: a reference as it is written there, a
	// sibling. It may be empty.
	Ref string
	// Reason says what is wrong and how to repair it.
	Reason string
}

// Error reads like
//
//	spa: index.html: "/assets/app-5d41402a.js": is not in the build; ...
func (e *BuildError) Error() string {
	var b strings.Builder
	b.WriteString("spa: ")
	if e.File != "" {
		b.WriteString(e.File)
		b.WriteString(": ")
	}
	if e.Ref != "" {
		ref := e.Ref
		if len(ref) > 200 {
			ref = strings.ToValidUTF8(ref[:200], "") + "..."
		}
		b.WriteString(strconv.Quote(ref))
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}

func indexed(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
