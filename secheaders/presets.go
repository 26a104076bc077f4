package secheaders

import "slices"

// Default is the secure default with every field written out, to begin from:
//
//	c := secheaders.Default()
//	c.CSP.Img = []secheaders.Source{secheaders.Self, secheaders.Scheme("data")}
//
// The package comment lists its headers with the reason for each value.
func Default() Config {
	c := Config{}.filled()
	c.HTTPS = nil
	return c
}

// API is for services whose answers are data and never a page: nothing may be
// loaded, framed or based on them, they name no referrer, and they are not stored
// (Cache-Control: no-store, unless the handler decides otherwise). Callers of
// other origins use CORS, which Cross-Origin-Resource-Policy does not touch.
func API() Config {
	c := Default()
	c.CSP = &Policy{
		Default:        []Source{None},
		BaseURI:        []Source{None},
		FormAction:     []Source{None},
		FrameAncestors: []Source{None},
	}
	c.Referrer = []ReferrerPolicy{NoReferrer}
	c.NoStore = true
	return c
}

// OWASP is the set that the OWASP Secure Headers Project recommends, less
// Clear-Site-Data, which belongs to a logout alone, and with two additions:
// base-uri, and what this package always sends. It is stricter than Default: no
// embedding of content that has not opted in (COEP), no caching, and many more
// features off, among them fullscreen, clipboard and passkeys.
func OWASP() Config {
	c := Default()
	c.HSTS.MaxAge = preloadMinAge
	c.Referrer = []ReferrerPolicy{NoReferrer}
	c.COEP = COEPRequireCORP
	c.NoStore = true
	c.Permissions = Permissions{SyncXHR: {"self"}}
	for _, f := range []Feature{
		Accelerometer, Autoplay, Camera, CrossOriginIsolated, DisplayCapture, EncryptedMedia, Fullscreen,
		Geolocation, Gyroscope, KeyboardMap, Magnetometer, Microphone, MIDI, Payment, PictureInPicture,
		PublicKeyCredentialsGet, ScreenWakeLock, USB, WebShare, XRSpatialTracking, ClipboardRead,
		ClipboardWrite, Gamepad, HID, IdleDetection, InterestCohort, Serial, Unload,
	} {
		c.Permissions[f] = nil
	}
	return c
}

// FlutterOptions say how a Flutter web app was built.
type FlutterOptions struct {
	// CDN: the engine (CanvasKit, Skwasm) and the fallback fonts come from Google's
	// hosts, as in a plain `flutter build web`. False: everything is local, as with
	// --no-web-resources-cdn.
	CDN bool
	// Isolated: the page is cross-origin isolated (COEP require-corp), as
	// multi-threaded Skwasm needs. Sign-in by popup then does not work.
	Isolated bool
	// FontHosts are origins of further fonts, "https://fonts.gstatic.com". Flutter
	// fetches fonts, so they are allowed in connect-src as well as in font-src.
	FontHosts []string
}

// FlutterWeb is for a Flutter web app built to WebAssembly or JavaScript with a
// page without inline scripts. WebAssembly needs 'wasm-unsafe-eval', which does
// not allow eval; the engine writes style attributes and style elements, so
// styles need 'unsafe-inline'; images come as data: and blob: too.
func FlutterWeb(o FlutterOptions) Config {
	c := Default()
	p := c.CSP
	p.Script = []Source{Self, WasmUnsafeEval}
	p.Style = []Source{Self, UnsafeInline}
	p.Img = []Source{Self, Scheme("data"), Scheme("blob")}
	p.Font = []Source{Self}
	p.Connect = []Source{Self}
	fonts := o.FontHosts
	if o.CDN {
		// With its path: the host serves much else, old script libraries too.
		engine, font := Source("https://www.gstatic.com/flutter-canvaskit/"), "https://fonts.gstatic.com"
		p.Script = append(p.Script, engine)
		p.Connect = append(p.Connect, engine)
		if !slices.Contains(fonts, font) {
			fonts = append([]string{font}, fonts...)
		}
	}
	for _, host := range fonts {
		p.Font = append(p.Font, Origin(host))
		p.Connect = append(p.Connect, Origin(host))
	}
	if o.Isolated {
		c.COEP = COEPRequireCORP
		p.Worker = []Source{Self, Scheme("blob")}
	}
	return c
}
