package spa

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The tokens are drawn from the alphabets and lengths that the bundlers use:
// Rollup 4 base64url, esbuild base32, webpack and Rollup 3 hex.
func TestRandomTokensAreTakenForHashesAndFewAreMissed(t *testing.T) {
	const n = 200_000
	for _, c := range []struct {
		name, alphabet string
		trust          trust
		mostMissed     float64 // per cent; a miss costs a 304
	}{
		{"Rollup", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", media, 0.5},
		{"Rollup, of scripts", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", code, 0.25},
		{"esbuild", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", code, 0.2},
		{"webpack", "0123456789abcdef", code, 0.2},
		{"Rollup, in no bundler's directory", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", stranger, 30},
		{"esbuild, in no bundler's directory", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", stranger, 25},
		{"webpack, in no bundler's directory", "0123456789abcdef", stranger, 3},
	} {
		r, missed := rand.New(rand.NewPCG(1, 2)), 0
		for range n {
			b := make([]byte, 8)
			for i := range b {
				b[i] = c.alphabet[r.IntN(len(c.alphabet))]
			}
			if tok, _ := hashToken("chunk-" + string(b) + ".js"); tok == "" || !isHash(tok, c.trust) {
				missed++
			}
		}
		share := float64(missed) / n * 100
		t.Logf("%s: %.2f %% missed", c.name, share)
		assert.LessOrEqual(t, share, c.mostMissed, c.name)
	}
}

// naming makes the knowledge of a build whose index page loads the given names.
func naming(loaded []string) hashing { return detectHashing(false, slices.Values(loaded), loaded) }

func TestNamesThatPeopleWriteAreNoHashes(t *testing.T) {
	h := naming([]string{"assets/index-BxYz12_-.js", "main-5INURTSO.js", "static/js/main.8d3a0e2f.js"})
	for _, dir := range []string{"", "assets/", "static/media/", "media/", "images/"} {
		for _, name := range []string{
			"favicon.ico", "logo.svg", "settings.js", "app-settings.js", "logo-original.png", "photo-portrait.jpg",
			"Icon-maskable-192.png", "icon-maskable.png", "apple-touch-icon.png", "flutter_bootstrap.js",
			"hero-1920x1080.jpg", "banner-1920x108.jpg", "team-IMG_2024.jpg", "photo-20240131.jpg", "photo.20240131.jpg",
			"logo-LogoDark.png", "user-Avatar01.png", "inter-v20latin.woff2", "jquery-3.7.1.min.js", "chapter-chapter2.pdf",
			"bootstrap.bundle.min.js", "roboto-v30-latin-regular.woff2", "x-deadbeef.bin", "icon-Settings.svg",
			"file-3f2504e0-4f89-11d3-9a0c-0305e82c3301.png", "index-BxYz12_-.js.map", "main.8d3a0e2f.js.LICENSE.txt",
			"service-worker.js", "version.json", "manifest.json", "a-b.js", "x.js", "-BxYz12_-.js", "0123.css", "LICENSE",
			"page-BxYz12_-.html", "world-population.csv", "data-january-2024.csv", "us-states.json",
		} {
			assert.False(t, h.hashed(dir+name), dir+name)
		}
	}
}

func TestNamesThatBundlersMakeAreHashes(t *testing.T) {
	vite := naming([]string{"assets/index-DiwrgTda.js"})
	angular := naming([]string{"main-5INURTSO.js", "styles-ABCDEFGH.css"})
	cra := naming([]string{"static/js/main.8d3a0e2f.js"})
	none := naming(nil)
	for _, c := range []struct {
		h    hashing
		name string
	}{
		{vite, "assets/index-DiwrgTda.js"},
		{vite, "assets/vendor-D9xKq_-2.css"},
		{vite, "assets/index-abCDefGH.js"},
		{vite, "assets/index-B-x_Yz12.js"},
		{angular, "main-5INURTSO.js"},
		{angular, "chunk-QWERTZUI.js"},
		{angular, "media/roboto-AAAABBBB.woff2"},
		{angular, "polyfills-B6TNHZQ6.js"},
		{angular, "chunk-kZQxfSQe2.js"},
		{angular, "chunk-CrySNcox.js"},
		{angular, "chunk-Bwmof_W-2.js"},
		{none, "main-5INURTSO.js"},
		{cra, "static/js/787.28cb0dcd.chunk.js"},
		{cra, "static/js/787.28012345.chunk.js"}, // one in 43 has digits only
		{cra, "static/css/main.f855e6bc.css"},
		{cra, "static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg"},
		{none, "js/app.0a1b2c3d.js"},
		{none, "main.3c7d3b7d6ecb4a1c.js"},
		{none, "_next/static/chunks/main-0f1a2b3c4d5e6f70.js"},
		{none, "_next/static/css/0a1b2c3d4e5f6a7b.css"},
		{none, "_nuxt/BxYz12_-.js"},
		{none, "_nuxt/entry.BxYz12_q.css"},
		{none, "_astro/hoisted.Bx3z12_-.js"},
		{none, "_app/immutable/nodes/0.DxYz12_-.js"},
		{none, "pkg/app-0f1a2b3c4d5e6f70_bg.wasm"},
		{none, "workbox-1d305bb8.js"},
	} {
		assert.True(t, c.h.hashed(c.name), c.name)
	}
}

func TestNoFileOfAFlutterBuildIsAHash(t *testing.T) {
	h := detectHashing(true, slices.Values([]string(nil)), nil)
	for _, name := range []string{
		"main.dart.js", "main.dart.wasm", "flutter_bootstrap.js", "flutter.js", "flutter_service_worker.js",
		"assets/AssetManifest.bin.json", "assets/assets/photo-8d3a0e2f.png", "assets/fonts/MaterialIcons-Regular.otf",
		"canvaskit/canvaskit.wasm", "canvaskit/chromium/canvaskit.js", "main.dart.js_1.part.js", "icons/Icon-maskable-512.png",
	} {
		assert.False(t, h.hashed(name), name)
	}
}
