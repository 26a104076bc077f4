// A client-side router in a few lines: the server answers every navigation
// with index.html, and this decides what to show.
const view = document.querySelector('#view');
const routes = {
  '/': home,
  '/stream': stream,
  '/projects/:id': project,
};
let leave = () => {};

function element(tag, text, props = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...props });
}

async function call(path) {
  const started = performance.now();
  const response = await fetch(path, { headers: { Accept: 'application/json' } });
  return {
    status: response.status,
    ms: Math.round(performance.now() - started),
    id: response.headers.get('X-Correlation-ID'),
    limit: response.headers.get('RateLimit'),
    body: await response.text(),
  };
}

function home() {
  const out = element('dl', '', { id: 'answer' });
  const button = element('button', 'Call /api/ping', { type: 'button' });
  const ask = async () => {
    const a = await call('/api/ping');
    out.replaceChildren();
    for (const [name, value] of [
      ['Status', a.status], ['Body', a.body.trim()], ['Correlation ID', a.id],
      ['RateLimit', a.limit], ['Took', a.ms + ' ms'],
    ]) {
      out.append(element('dt', name), element('dd', value ?? 'none'));
    }
  };
  button.addEventListener('click', ask);
  view.append(element('h1', 'A hardened service'),
    element('p', 'Each answer below went through six middleware packages.'), button, out);
  ask();
}

function stream() {
  const list = element('ol', '', { id: 'events' });
  const source = new EventSource('/api/stream');
  source.addEventListener('message', (e) => list.append(element('li', e.data)));
  source.addEventListener('error', () => source.close());
  leave = () => source.close();
  view.append(element('h1', 'Server-sent events'),
    element('p', 'Its log line appears when the stream ends, with the whole duration.'), list);
}

function project({ id }) {
  view.append(element('h1', 'Project ' + id),
    element('p', 'This route exists in the browser only: reload the page, it still works.'));
}

function missing() {
  view.append(element('h1', 'No such page'), element('p', location.pathname));
}

function match(path) {
  for (const [pattern, show] of Object.entries(routes)) {
    const names = [];
    const re = new RegExp('^' + pattern.replace(/:(\w+)/g, (_, n) => (names.push(n), '([^/]+)')) + '/?$');
    const m = path.match(re);
    if (m) return () => show(Object.fromEntries(names.map((n, i) => [n, decodeURIComponent(m[i + 1])])));
  }
  return missing;
}

function render() {
  leave();
  leave = () => {};
  view.replaceChildren();
  match(location.pathname)();
  for (const a of document.querySelectorAll('nav a')) {
    a.toggleAttribute('aria-current', a.pathname === location.pathname);
  }
  document.title = (view.querySelector('h1')?.textContent ?? 'Quickstart') + ' · Gatehouse';
}

document.addEventListener('click', (e) => {
  const a = e.target.closest('a');
  if (!a || a.origin !== location.origin || a.hasAttribute('download') || e.metaKey || e.ctrlKey) return;
  e.preventDefault();
  history.pushState(null, '', a.href);
  render();
});
addEventListener('popstate', render);
render();
