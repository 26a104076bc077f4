package corsx

import "strings"

// sharedHosts are domains below which a platform gives names to its customers,
// but which the Public Suffix List does not have as such (its state of
// 2026-02-06 in golang.org/x/net v0.62.0, compared 2026-11-23). Sources: the
// platforms' own documentation of the default domain of a deployed service.
// "*.x" stands for x and for every name one label below it (regions).
var sharedHosts = [...]string{
	"anvil.app",               // NAME.anvil.app
	"app.github.dev",          // NAME-PORT.app.github.dev, Codespaces
	"awsapprunner.com",        // ID.REGION.awsapprunner.com (the regions are listed)
	"b4a.run",                 // NAME.b4a.run, Back4App containers
	"back4app.io",             // NAME.back4app.io
	"code.run",                // NAME--PROJECT--ID.code.run, Northflank
	"cyclic.app",              // NAME.cyclic.app
	"edgeone.app",             // NAME.edgeone.app
	"fermyon.app",             // NAME.fermyon.app
	"gigalixirapp.com",        // NAME.gigalixirapp.com
	"gitpod.io",               // PORT-ID.REGION.gitpod.io
	"glitch.me",               // NAME.glitch.me
	"kinsta.app",              // NAME.kinsta.app, now sevalla.app
	"kinsta.page",             // NAME.kinsta.page
	"koyeb.app",               // NAME-ORG.koyeb.app
	"loca.lt",                 // NAME.loca.lt, tunnels
	"modal.run",               // WORKSPACE--NAME.modal.run
	"northflank.app",          // NAME.northflank.app
	"onporter.run",            // NAME.onporter.run
	"railway.app",             // NAME.up.railway.app (which is listed), NAME.railway.app before
	"run.app",                 // NAME-NUMBER.REGION.run.app, Cloud Run (the names one label below are listed)
	"scalingo.io",             // NAME.REGION.scalingo.io
	"sevalla.app",             // NAME.sevalla.app
	"shuttle.app",             // NAME.shuttle.app
	"surge.sh",                // NAME.surge.sh
	"tiiny.site",              // NAME.tiiny.site
	"zerops.app",              // NAME.REGION.zerops.app
	"*.azurecontainerapps.io", // NAME.ENVIRONMENT.REGION.azurecontainerapps.io
	"*.devtunnels.ms",         // ID-PORT.REGION.devtunnels.ms
	"*.gitpod.io",
	"*.scalingo.io",
	"*.zerops.app",
}

// isSharedHost tells whether the domain is one of them, or lies above one.
func isSharedHost(domain string) bool {
	for _, s := range sharedHosts {
		if base, ok := strings.CutPrefix(s, "*."); ok {
			label, below := strings.CutSuffix(domain, "."+base)
			if domain == base || below && !strings.Contains(label, ".") {
				return true
			}
			s = base
		}
		if domain == s || strings.HasSuffix(s, "."+domain) {
			return true
		}
	}
	return false
}
