package spa

import (
	"path"
	"strings"
)

// maxExt bounds the extension that is looked up, with its dot.
const maxExt = 20

// builtinTypes is the package's own table: net/http asks the machine's
// (/etc/mime.types), so that a .wasm or .mjs that works at a desk is
// octet-stream in a slim container, which browsers refuse to run. Types are
// those of IANA and of the WHATWG's standards. It also says which extensions
// belong to files: a missing one of these is a 404 and never the page.
var builtinTypes = map[string]string{
	// Code and data. JavaScript has one type, RFC 9239.
	".js":          "text/javascript; charset=utf-8",
	".mjs":         "text/javascript; charset=utf-8",
	".cjs":         "text/javascript; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".htm":         "text/html; charset=utf-8",
	".xhtml":       "application/xhtml+xml",
	".json":        "application/json",
	".json5":       "application/json5",
	".map":         "application/json",
	".webmanifest": "application/manifest+json",
	".wasm":        "application/wasm",
	".xml":         "text/xml; charset=utf-8",
	".rss":         "application/rss+xml",
	".atom":        "application/atom+xml",
	".geojson":     "application/geo+json",
	".topojson":    "application/json",
	".jsonld":      "application/ld+json",
	".yaml":        "application/yaml",
	".yml":         "application/yaml",
	".txt":         "text/plain; charset=utf-8",
	".csv":         "text/csv; charset=utf-8",
	".vtt":         "text/vtt; charset=utf-8",
	".glsl":        "text/plain; charset=utf-8",
	".frag":        "text/plain; charset=utf-8",
	".vert":        "text/plain; charset=utf-8",
	// Flutter's assets and symbols.
	".bin":     "application/octet-stream",
	".symbols": "text/plain; charset=utf-8",
	".riv":     "application/octet-stream",
	".data":    "application/octet-stream",
	".dat":     "application/octet-stream",
	".blob":    "application/octet-stream",
	// Images.
	".svg":  "image/svg+xml",
	".png":  "image/png",
	".jpg":  "image/jpeg",
	".jpeg": "image/jpeg",
	".gif":  "image/gif",
	".webp": "image/webp",
	".avif": "image/avif",
	".apng": "image/apng",
	".jxl":  "image/jxl",
	".ico":  "image/vnd.microsoft.icon",
	".bmp":  "image/bmp",
	".cur":  "image/x-icon",
	".tif":  "image/tiff",
	".tiff": "image/tiff",
	// Fonts, RFC 8081.
	".woff2": "font/woff2",
	".woff":  "font/woff",
	".ttf":   "font/ttf",
	".otf":   "font/otf",
	".eot":   "application/vnd.ms-fontobject",
	// Sound and film.
	".mp3":  "audio/mpeg",
	".m4a":  "audio/mp4",
	".aac":  "audio/aac",
	".ogg":  "audio/ogg",
	".oga":  "audio/ogg",
	".opus": "audio/ogg",
	".wav":  "audio/wav",
	".weba": "audio/webm",
	".flac": "audio/flac",
	".mid":  "audio/midi",
	".mp4":  "video/mp4",
	".m4v":  "video/mp4",
	".webm": "video/webm",
	".ogv":  "video/ogg",
	".mov":  "video/quicktime",
	".m3u8": "application/vnd.apple.mpegurl",
	// Documents, models, archives.
	".pdf":  "application/pdf",
	".glb":  "model/gltf-binary",
	".gltf": "model/gltf+json",
	".obj":  "model/obj",
	".stl":  "model/stl",
	".ktx2": "image/ktx2",
	".hdr":  "image/vnd.radiance",
	".zip":  "application/zip",
	".gz":   "application/gzip",
	".br":   "application/octet-stream",
	".zst":  "application/zstd",
	".tar":  "application/x-tar",
}

const (
	typeHTML    = "text/html; charset=utf-8"
	typeJS      = "text/javascript; charset=utf-8"
	typeText    = "text/plain; charset=utf-8"
	typeUnknown = "application/octet-stream"
)

// extension returns the lower-case extension of the last segment with its dot,
// "" where there is none or it is longer than any that is known.
func extension(name string) string {
	ext := path.Ext(name)
	if len(ext) < 2 || len(ext) > maxExt {
		return ""
	}
	return strings.ToLower(ext) // allocates only where something changes
}

// typeOf is the media type of a file. The name alone decides: a sniffed type
// would let the content of an upload decide that it is HTML.
func (o *options) typeOf(name string) string {
	if t, ok := o.types[extension(name)]; ok {
		return t
	}
	if path.Base(name) == "apple-app-site-association" {
		return "application/json" // the name and the type that iOS asks for
	}
	return typeUnknown
}

// compressible tells whether gzip is worth trying on a type.
func compressible(typ string) bool {
	typ, _, _ = strings.Cut(typ, ";")
	switch typ {
	case "application/json", "application/json5", "application/manifest+json", "application/wasm", "application/xhtml+xml",
		"application/yaml", "image/svg+xml", "image/vnd.microsoft.icon", "image/x-icon", "image/bmp",
		"font/ttf", "font/otf", "application/vnd.ms-fontobject", "model/obj", "model/stl", typeUnknown:
		return true
	}
	return strings.HasPrefix(typ, "text/") || strings.HasSuffix(typ, "+json") || strings.HasSuffix(typ, "+xml")
}
