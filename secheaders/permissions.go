package secheaders

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Feature is the name of a browser feature in Permissions-Policy.
type Feature string

// The features that browsers know (W3C Permissions Policy registry and MDN).
// Other well-formed names are sent too, and Lint tells of them.
const (
	Accelerometer              Feature = "accelerometer"
	AmbientLightSensor         Feature = "ambient-light-sensor"
	AttributionReporting       Feature = "attribution-reporting"
	Autoplay                   Feature = "autoplay"
	Bluetooth                  Feature = "bluetooth"
	BrowsingTopics             Feature = "browsing-topics"
	Camera                     Feature = "camera"
	ClipboardRead              Feature = "clipboard-read"
	ClipboardWrite             Feature = "clipboard-write"
	ComputePressure            Feature = "compute-pressure"
	CrossOriginIsolated        Feature = "cross-origin-isolated"
	DisplayCapture             Feature = "display-capture"
	EncryptedMedia             Feature = "encrypted-media"
	Fullscreen                 Feature = "fullscreen"
	Gamepad                    Feature = "gamepad"
	Geolocation                Feature = "geolocation"
	Gyroscope                  Feature = "gyroscope"
	HID                        Feature = "hid"
	IdentityCredentialsGet     Feature = "identity-credentials-get"
	IdleDetection              Feature = "idle-detection"
	InterestCohort             Feature = "interest-cohort" // withdrawn; some scanners still ask for it
	KeyboardMap                Feature = "keyboard-map"
	LocalFonts                 Feature = "local-fonts"
	Magnetometer               Feature = "magnetometer"
	Microphone                 Feature = "microphone"
	MIDI                       Feature = "midi"
	OTPCredentials             Feature = "otp-credentials"
	Payment                    Feature = "payment"
	PictureInPicture           Feature = "picture-in-picture"
	PublicKeyCredentialsCreate Feature = "publickey-credentials-create"
	PublicKeyCredentialsGet    Feature = "publickey-credentials-get"
	ScreenWakeLock             Feature = "screen-wake-lock"
	Serial                     Feature = "serial"
	StorageAccess              Feature = "storage-access"
	SyncXHR                    Feature = "sync-xhr"
	Unload                     Feature = "unload"
	USB                        Feature = "usb"
	WebShare                   Feature = "web-share"
	WindowManagement           Feature = "window-management"
	XRSpatialTracking          Feature = "xr-spatial-tracking"
)

var features = []string{
	string(Accelerometer), string(AmbientLightSensor), string(AttributionReporting), string(Autoplay),
	string(Bluetooth), string(BrowsingTopics), string(Camera), string(ClipboardRead), string(ClipboardWrite),
	string(ComputePressure), string(CrossOriginIsolated), string(DisplayCapture), string(EncryptedMedia),
	string(Fullscreen), string(Gamepad), string(Geolocation), string(Gyroscope), string(HID),
	string(IdentityCredentialsGet), string(IdleDetection), string(InterestCohort), string(KeyboardMap),
	string(LocalFonts), string(Magnetometer), string(Microphone), string(MIDI), string(OTPCredentials),
	string(Payment), string(PictureInPicture), string(PublicKeyCredentialsCreate),
	string(PublicKeyCredentialsGet), string(ScreenWakeLock), string(Serial), string(StorageAccess),
	string(SyncXHR), string(Unload), string(USB), string(WebShare), string(WindowManagement),
	string(XRSpatialTracking),
}

// Permissions is Permissions-Policy: for each feature the origins that may use
// it in this page and its frames. A nil or empty list allows nobody: "camera=()".
// The elements are "self", origins such as "https://maps.example.com", their
// subdomains "https://*.example.com", or "*" alone. A feature that is not in the
// map keeps the browser's default.
//
//	c := secheaders.Default()
//	c.Permissions[secheaders.Geolocation] = []string{"self"}
type Permissions map[Feature][]string

// defaultPermissions turns off what asks the visitor for hardware or tells him
// apart. What pages use without asking (fullscreen, autoplay, clipboard-write,
// passkeys) stays as browsers have it.
func defaultPermissions() Permissions {
	p := Permissions{}
	for _, f := range []Feature{
		Accelerometer, Camera, DisplayCapture, Geolocation, Gyroscope, HID, Magnetometer,
		Microphone, MIDI, Payment, Serial, USB, XRSpatialTracking,
	} {
		p[f] = nil
	}
	return p
}

// wire is the structured-field dictionary (RFC 9651, section 3.2), by name.
func (p Permissions) wire() string {
	var b strings.Builder
	for _, f := range slices.Sorted(maps.Keys(p)) {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(f))
		if slices.Equal(p[f], []string{"*"}) {
			b.WriteString("=*")
			continue
		}
		b.WriteString("=(")
		for i, v := range p[f] {
			if i > 0 {
				b.WriteByte(' ')
			}
			if v != "self" {
				v = `"` + v + `"`
			}
			b.WriteString(v)
		}
		b.WriteByte(')')
	}
	return b.String()
}

func (p Permissions) clone() Permissions {
	c := maps.Clone(p)
	for f, list := range c {
		c[f] = slices.Clone(list)
	}
	return c
}

func (p Permissions) check(l *mistakes.List) {
	if len(p) == 0 {
		l.Add("Permissions", "", "is empty; leave it nil for the default, or name the header in InsecureOmit")
	}
	for _, f := range slices.Sorted(maps.Keys(p)) {
		field := "Permissions[" + strconv.Quote(string(f)) + "]"
		switch near := nearest(string(f), features); {
		case !isKey(string(f)):
			l.Add(field, "", "is no feature name (lower-case letters, digits and -)")
		case near != "" && near != string(f):
			l.Add(field, "", "is no feature that browsers know, so it would do nothing; did you mean %s?", near)
		}
		for i, v := range p[f] {
			if why := allowProblem(v, p[f][:i], len(p[f])); why != "" {
				l.Add(indexed(field, i), v, "%s", why)
			}
		}
	}
}

// allowProblem checks one element of an allowlist.
func allowProblem(v string, before []string, size int) string {
	switch {
	case slices.Contains(before, v):
		return "is listed twice"
	case v == "self":
		return ""
	case v == "*" && size > 1:
		return "allows everybody; remove the others, or it"
	case v == "*":
		return ""
	case v == "'self'" || v == "src" || v == "none" || v == "'none'":
		return `is CSP's or an iframe's spelling; write "self", or no element to allow nobody`
	}
	origin := strings.Replace(v, "://*.", "://", 1)
	why := originProblem(origin)
	if why == "" && !strings.HasPrefix(v, "https://") && !strings.HasPrefix(v, "http://") {
		return "is no http or https origin"
	}
	return why
}
