// Package e2e has the tests of the whole program: it is built as it is deployed
// (CGO_ENABLED=0), run in an empty directory without an environment, and driven
// over HTTP and by a real Chromium.
package e2e
