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
// # What it does not do
//
// It sets no security headers (package secheaders does), no Last-Modified (a
// hash says more), lists no directories, runs no templates, and renders nothing.
//
// # Position
//
// Innermost, around the mux: see the order in the package comment of gatehouse.
package spa
