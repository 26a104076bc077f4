package corsx

import "strings"

// sharedHosts are domains below which a platform gives names to its customers,
// but which the Public Suffix List does not have as such (its state of
// 2026-02-06 in golang.org/x/net v0.62.0, compared on 2026-11-23). "*.x" stands
// for x and for every name one label below it (regions). The list cannot be
// complete; a domain too many here costs its owner no more than the pattern.
var sharedHosts = [...]string{
	// From the platforms' documentation of a service's default domain, read on
	// 2026-11-23.
	"code.run",                // PORT--NAME--ID.code.run, Northflank
	"koyeb.app",               // NAME-ORG-HASH.koyeb.app
	"railway.app",             // NAME.up.railway.app (up.railway.app is in the list)
	"run.app",                 // NAME-NUMBER.REGION.run.app, Cloud Run (*.run.app is in the list)
	"*.azurecontainerapps.io", // NAME.ENVIRONMENT.REGION.azurecontainerapps.io
	"*.scalingo.io",           // NAME.REGION.scalingo.io

	// From the names of their customers' services in public use.
	"anvil.app",
	"app.github.dev", // Codespaces
	"awsapprunner.com",
	"b4a.run", // Back4App
	"back4app.io",
	"cyclic.app",
	"edgeone.app",
	"fermyon.app",
	"gigalixirapp.com",
	"glitch.me",
	"kinsta.app",
	"kinsta.page",
	"loca.lt",
	"modal.run",
	"northflank.app",
	"onporter.run",
	"sevalla.app",
	"shuttle.app",
	"surge.sh",
	"tiiny.site",
	"*.devtunnels.ms",
	"*.gitpod.io",
	"*.zerops.app",
}

// isSharedHost tells whether the domain is one of them, or lies above one.
func isSharedHost(domain string) bool {
	for _, s := range sharedHosts {
		base, regions := strings.CutPrefix(s, "*.")
		if domain == base || strings.HasSuffix(base, "."+domain) {
			return true
		}
		label, below := strings.CutSuffix(domain, "."+base)
		if regions && below && !strings.Contains(label, ".") {
			return true
		}
	}
	return false
}
