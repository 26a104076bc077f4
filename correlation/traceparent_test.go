package correlation_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// The cases are those of W3C Trace Context (Recommendation, 23 November 2021):
// the ABNF and the examples of sections 3.2.1 to 3.2.3, and the rules for other
// versions in section 4.3.
func TestTraceparentIsParsedStrictly(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for _, c := range []struct {
		name  string
		sent  []string
		valid bool
	}{
		{"the example, sampled", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, true},
		{"the example, not sampled", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}, true},
		{"unknown flags", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff"}, true},
		{"a higher version of the same length", []string{"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, true},
		{"a higher version with more behind a hyphen", []string{"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like"}, true},
		{"a higher version with a hyphen at the end", []string{"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"}, true},
		{"a higher version with more and no hyphen", []string{"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what-the-future-will-be-like"}, false},
		{"version 00 with more", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like"}, false},
		{"version 00 with a hyphen at the end", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"}, false},
		{"version ff", []string{"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, false},
		{"version in upper case", []string{"CC-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, false},
		{"version .0", []string{".0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, false},
		{"version of one digit", []string{"0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, false},
		{"version of three digits", []string{"000-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, false},
		{"trace-id of zeroes", []string{"00-00000000000000000000000000000000-00f067aa0ba902b7-01"}, false},
		{"trace-id in upper case", []string{"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"}, false},
		{"trace-id too short", []string{"00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01"}, false},
		{"trace-id too long", []string{"00-4bf92f3577b34da6a3ce929d0e0e47366-00f067aa0ba902b7-01"}, false},
		{"trace-id with another byte", []string{"00-.bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, false},
		{"parent-id of zeroes", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"}, false},
		{"parent-id in upper case", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01"}, false},
		{"parent-id too short", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01"}, false},
		{"parent-id too long", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b77-01"}, false},
		{"flags too short", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"}, false},
		{"flags too long", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-001"}, false},
		{"flags with another byte", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-.1"}, false},
		{"flags in upper case", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A"}, false},
		{"no flags", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"}, false},
		{"underscores", []string{"00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"}, false},
		{"a space in front", []string{" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, false},
		{"a space behind", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 "}, false},
		{"two lines", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, false},
		{"two in one line", []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01,00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, false},
		{"nothing", []string{""}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := get("/")
			r.Header["Traceparent"] = c.sent
			_, line := serve(t, correlation.Config{}, r, nothing)
			if c.valid {
				assert.Equal(t, trace, line["trace_id"])
				assert.Equal(t, span, line["span_id"])
			} else {
				assert.NotContains(t, line, "trace_id")
				assert.NotContains(t, line, "span_id")
			}
		})
	}
}
