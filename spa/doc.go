// Package spa serves the finished build of a single-page app: Flutter, Vite,
// Angular, React, whatever a bundler left in a directory.
//
//	app, err := spa.New(spa.Config{FS: dist}) // dist: an embed.FS below fs.Sub, or spa.OpenDir
//	if err != nil { ... }                     // every mistake in the Config and in the build
//	handler := app.Handler(mux)               // routes of the mux first, then the app
//
// # What it answers
//
//	a file of the build                200, 206, 304 with a strong ETag, Content-Length and the right type
//	about.html, docs/index.html        the same at /about and /docs/; /docs is sent to /docs/ (307)
//	a navigation to any other path     200 with the index page: a deep link of the client's router
//	a missing file (/assets/x.js)      404, never the page: a browser runs no HTML as a module
//	a script's request elsewhere       404, told from a navigation by Sec-Fetch-Dest, then Accept
//	/api/ (Exclude), /.well-known/     never the page; what next answers
//	other methods                      what next answers; 405 with Allow from ServeHTTP
//	a Range behind the end             416; any other Range that cannot be served is ignored
//	no acceptable coding               406, for identity;q=0 where there is no other
//	a large file changed on disk       503
//
// A 404 and the page in place of a file carry Vary: Accept, Sec-Fetch-Dest.
//
// # Attacks it stops
//
// New walks the build once and puts each file into an index by its URL path; a
// request is looked up there and nowhere else. No path that a client sends ever
// reaches the file system, so there is nothing to traverse: "..", encoded
// slashes, backslashes, NUL, dotfiles, symbolic links are a 404. A redirect is
// only sent to a directory's page, made of a name of the index, never to
// //attacker.example. Types come from the package's own table and never from
// the content.
//
// # Caching
//
// Files whose names carry a hash of their content are sent with
// "public, max-age=31536000, immutable". The names are recognised strictly:
// those that the bundlers of Vite, Angular, CRA, webpack, Next.js, Nuxt,
// SvelteKit, Astro, Parcel and esbuild make, and none that could be words, a date
// or a size. No file of a Flutter build is: its names carry no hash. All others,
// the index page first, are sent with "no-cache": kept by the browser, asked
// about each time, answered with 304. A 404 says nothing about caching.
//
// # Compression
//
// A precompressed file beside the original (app.js.br, .gz, .zst) is sent to
// clients that accept the coding, the smallest that they like best. A .gz is
// unpacked by New and compared; the standard library cannot read Brotli and
// Zstandard, so a .br or .zst left over from another build is served as it is:
// compress in the same step that builds. Where no .gz is there, New makes one.
// Siblings have no URL of their own.
//
// # Deploys
//
// A page that was loaded before a deploy asks for its chunks after it: without
// them the next click fails. Give the build before, and as many before it as a tab
// may stay open, as Previous; only their immutable files are kept. They come from
// where the old release still is, for example
//
//   - the image before: COPY --from=app:previous /dist /previous in the Dockerfile,
//     then spa.OpenDir("/previous")
//   - the pipeline's cache: copy dist to previous before building, and embed both:
//     //go:embed all:dist all:previous
//   - a volume with a directory for each release
//
// A service worker of an older build can hide every deploy: see KillWorkers. With
// several replicas, finish the roll-out before the old replicas get requests of
// new pages, or route a client to one replica: during it the new page may ask an
// old replica for a chunk that it does not have yet.
//
// # Flutter
//
// Set Versioned: main.dart.js and the rest keep their names from build to build,
// and served at those they can only be asked about each time, and mixed. An engine
// from Google's servers, a missing <base> and a bootstrap that cannot be patched
// are told by New.
//
// # Content-Security-Policy
//
// CSP tells what the build needs: hashes of its inline scripts and styles, wasm,
// blob workers, other hosts. A nonce would have to be written into the page for
// each request and would end its 304s; a hash does not.
//
// # What it does not do
//
// It sets no security headers (package secheaders does), no Last-Modified (a
// hash says more), lists no directories, runs no templates, and renders nothing. It does not see
// what the app's scripts fetch from other hosts.
//
// # Position
//
// Innermost, around the mux: see the order in the package comment of gatehouse.
package spa
