package spa

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// flutterBuild is what is known of a Flutter build.
type flutterBuild struct {
	config struct {
		UseLocalCanvasKit bool `json:"useLocalCanvasKit"`
		Builds            []struct {
			Renderer string `json:"renderer"`
		} `json:"builds"`
	}
	found     bool   // the statement that sets the config
	load      string // what follows it: the call of the loader
	hasFile   func(string) bool
	dir       string // "_build/<hash>/", below Prefix
	versioned bool
}

const (
	flutterBootstrap = "flutter_bootstrap.js"
	flutterWorker    = "flutter_service_worker.js"
	canvasKit        = "canvaskit/canvaskit.js"
	// versionedDir is the directory of the versioned files of all builds.
	versionedDir = "_build/"
	// buildConfig begins the line that `flutter build web` writes into the
	// bootstrap, or into an index page that is a template, right before the
	// app's own call of the loader.
	buildConfig = "_flutter.buildConfig = "
)

// isFlutter tells a Flutter build by the files that no other has.
func isFlutter(srcs map[string]*source) bool {
	return srcs[flutterBootstrap] != nil || srcs["flutter.js"] != nil || srcs["main.dart.js"] != nil
}

// readFlutter returns nil for a build that is not Flutter's.
func (x *indexer) readFlutter(srcs map[string]*source) *flutterBuild {
	if !isFlutter(srcs) {
		if x.Versioned {
			x.fail("", "", "Versioned is for Flutter builds and this is none: bundlers name files by their content; leave it out")
		}
		return nil
	}
	b := &flutterBuild{hasFile: func(name string) bool { return srcs[name] != nil }, dir: buildDir(srcs)}
	for _, name := range []string{flutterBootstrap, x.Index} {
		if s := srcs[name]; s != nil && !b.found {
			b.read(s.text())
		}
	}
	b.versioned = x.Versioned
	switch {
	case x.Versioned && !b.found:
		x.fail(flutterBootstrap, "", "has no line that sets _flutter.buildConfig, so it cannot be told the versioned path: build with Flutter 3.22 or later, and load %s from the page", flutterBootstrap)
	case b.found && !b.local():
		x.warn(flutterBootstrap, "", "the engine comes from www.gstatic.com, which then runs code in the app and must be up; build with --no-web-resources-cdn")
	}
	if !x.Versioned {
		x.warn("", "", "a Flutter build's names do not change with their content: set Versioned, so that they are cached and no page mixes files of two builds")
	}
	return b
}

// buildDir names a build by the SHA-256 of all names and contents.
func buildDir(srcs map[string]*source) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(srcs)) {
		sum := sha256.Sum256([]byte(name))
		h.Write(sum[:])
		h.Write(srcs[name].sum[:])
	}
	return versionedDir + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12]) + "/"
}

// configEnd is the offset behind the statement that sets the config, -1 where
// there is none.
func configEnd(text string) int {
	at := strings.LastIndex(text, buildConfig)
	if at < 0 {
		return -1
	}
	var raw json.RawMessage
	d := json.NewDecoder(strings.NewReader(text[at+len(buildConfig):]))
	if d.Decode(&raw) != nil {
		return -1
	}
	end := at + len(buildConfig) + int(d.InputOffset())
	if end < len(text) && text[end] == ';' {
		end++
	}
	return end
}

func (b *flutterBuild) read(text string) {
	end := configEnd(text)
	if end < 0 {
		return
	}
	at := strings.LastIndex(text, buildConfig) + len(buildConfig)
	b.found = json.NewDecoder(strings.NewReader(text[at:])).Decode(&b.config) == nil
	b.load = text[end:]
}

// versionLoader wraps the loader's one method, so that whatever the app's own
// call says, the files come from the versioned path: the entry point, the engine
// and the assets. An app with a callback of its own may start the engine without
// the config, so what the callback gets is wrapped too.
const versionLoader = `
(function (loader, versioned) {
  var load = loader.load;
  function merged(config) { return Object.assign({}, config, versioned); }
  loader.load = function (options) {
    options = Object.assign({}, options, {config: merged(options && options.config)});
    delete options.serviceWorkerSettings;
    var started = options.onEntrypointLoaded;
    if (started) options.onEntrypointLoaded = function (engine) {
      return started({
        initializeEngine: function (config) { return engine.initializeEngine(merged(config)); },
        autoStart: function () { return engine.autoStart(); }
      });
    };
    return load.call(loader, options);
  };
})(_flutter.loader, `

// patch puts versionLoader behind the config. base is the app's public path.
func (b *flutterBuild) patch(text, base string) (string, bool) {
	end := configEnd(text)
	if end < 0 {
		return text, false
	}
	at := base + b.dir
	// Flutter 3.22 spelt entryPointBaseUrl with a capital P.
	config := map[string]string{"entrypointBaseUrl": at, "entryPointBaseUrl": at, "assetBase": at}
	if b.hasFile(canvasKit) {
		config["canvasKitBaseUrl"] = at + "canvaskit/"
	}
	js, err := json.Marshal(config)
	if err != nil {
		return text, false
	}
	return text[:end] + versionLoader + string(js) + ");" + text[end:], true
}

// patchBootstrap tells flutter_bootstrap.js the versioned path.
func (x *indexer) patchBootstrap(srcs map[string]*source, base string) {
	s := srcs[flutterBootstrap]
	if s == nil {
		return
	}
	if text, ok := x.flutter.patch(s.text(), base); ok {
		s.setBody([]byte(text))
	}
}

// addVersioned makes the files of a Flutter build reachable, as immutable, below
// the directory with the build's hash. The page, and what starts from it, stay
// where they are.
func (x *indexer) addVersioned(dir string, files map[string]*file) {
	for name, f := range files {
		if name == x.Index || name == flutterBootstrap || name == flutterWorker {
			continue
		}
		forever := *f
		if !x.Dev {
			forever.cache = cacheForever
		}
		x.out.files[x.Prefix+dir+name] = &forever
	}
}

// local tells whether the engine comes from the build itself.
func (b *flutterBuild) local() bool {
	return b.versioned && b.hasFile(canvasKit) || b.config.UseLocalCanvasKit || strings.Contains(b.load, "canvasKitBaseUrl")
}

// addNeeds adds what the engine does in every app: wasm, style elements, images
// as data: and blob:, and fonts for scripts that the app's own lack, which it
// fetches.
func (b *flutterBuild) addNeeds(n *Needs) {
	n.Wasm, n.InlineStyle, n.DataImages, n.BlobImages = true, true, true, true
	n.ConnectHosts = append(n.ConnectHosts, googleFonts)
	for _, t := range b.config.Builds {
		n.BlobWorker = n.BlobWorker || t.Renderer == "skwasm"
	}
	if !b.local() {
		n.ScriptHosts = append(n.ScriptHosts, engineCDN)
		n.ConnectHosts = append(n.ConnectHosts, engineCDN)
	}
}
