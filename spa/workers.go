package spa

// killWorker replaces a service worker that must go. Browsers fetch a worker's
// script at each navigation, past the worker itself and past the HTTP cache, so
// this reaches a client even where the old worker answers everything else from
// its cache.
//
// matchAll returns only clients that this registration controls: pages that the
// old worker served. A page that registers the worker anew is not controlled,
// so it is not reloaded, and no loop can begin. Navigating to a URL with a
// fragment would only scroll: such a page gets a query parameter.
const killWorker = `// The app no longer has a service worker: this one removes itself.
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) await caches.delete(name);
  const pages = await self.clients.matchAll({type: 'window'});
  await self.registration.unregister();
  for (const page of pages) {
    const url = new URL(page.url);
    if (url.hash) url.searchParams.set('reloaded', Date.now());
    page.navigate(url).catch(() => {});
  }
})()));
`

// addWorkers answers each path of KillWorkers, also where the build has a file.
// The worker is not to be stored: browsers do not, but a proxy in front may.
func (x *indexer) addWorkers() {
	for _, p := range x.KillWorkers {
		s := &source{name: p}
		s.setBody([]byte(killWorker))
		v := x.variant(identity, s)
		x.out.files[p] = &file{ctype: typeJS, cache: "no-store", variants: []variant{v}}
	}
}
