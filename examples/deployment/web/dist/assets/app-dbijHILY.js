// The shell: which page is shown, who is logged in, and what the last answer said.
import { answers, limits } from './api-t3UkSHHk.js';
import { busy, copyable, failure, h, say } from './dom-9aRx3nlE.js';
import { callbackPage, loginPage } from './login-GbWQyj4b.js';
import { changes, logout, person, user } from './session-c8Vzdgtz.js';
import { stackPage } from './stack-ZokmNKUN.js';
import { threadPage, threadsPage } from './threads-Sdq2hIbj.js';

const view = document.querySelector('#view');

// A page is an async function of {signal, go, params} that returns {title,
// content}, or nothing if it went elsewhere.
const routes = [
  [/^\/$/, ({ go }) => go('/threads', { replace: true }), 'private'],
  [/^\/threads\/?$/, threadsPage, 'private'],
  [/^\/threads\/(?<id>[\w-]+)$/, threadPage, 'private'],
  [/^\/stack$/, stackPage],
  [/^\/auth\/callback$/, callbackPage],
];

async function missing() {
  return {
    title: 'No such page',
    content: [h('h1', {}, 'No such page'), h('p', {}, 'There is nothing at ', h('code', {}, location.pathname), '.'),
      h('p', {}, h('a', { href: '/threads' }, 'Go to your threads'))],
  };
}

async function pageFor(path, context) {
  for (const [pattern, page, isPrivate] of routes) {
    const match = path.match(pattern);
    if (!match) continue;
    if (isPrivate && !await user()) return loginPage();
    return page({ ...context, params: match.groups ?? {} });
  }
  return missing();
}

let current = new AbortController();
let first = true;

async function render() {
  current.abort(); // what the page before still waits for
  current = new AbortController();
  const { signal } = current;
  view.setAttribute('aria-busy', 'true');
  let page;
  try {
    page = await pageFor(location.pathname, { signal, go });
  } catch (problem) {
    page = await troubled(problem);
  }
  if (signal.aborted || !page) return;
  view.removeAttribute('aria-busy');
  view.replaceChildren(...[page.content].flat(Infinity).filter(Boolean));
  document.title = `${page.title} · Gatehouse`;
  for (const a of document.querySelectorAll('nav a')) {
    if (location.pathname.startsWith(a.pathname)) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  settle();
}

// settle does what a browser does on a new page: scroll up, and have a screen
// reader begin with it. The first page is the browser's own.
function settle() {
  if (!first) {
    scrollTo(0, 0);
    const heading = view.querySelector('h1') ?? view;
    heading.setAttribute('tabindex', '-1');
    heading.focus({ preventScroll: true });
  }
  first = false;
}

async function troubled(problem) {
  if (problem.status === 401) {
    return loginPage({ notice: h('p', { class: 'notice', role: 'status' }, 'Your session has ended. Log in again to go on.') });
  }
  return {
    title: problem.title ?? 'Error',
    content: [
      h('h1', {}, 'This page could not be shown'), failure(problem, problem.status !== 404 && render),
      h('p', {}, h('a', { href: '/threads' }, 'Go to your threads')),
    ],
  };
}

async function go(path, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', path);
  await render();
}

// Links are links: they can be opened in a new tab, copied and bookmarked. A
// plain click on one of ours does not leave the page.
document.addEventListener('click', (e) => {
  const a = e.target.closest('a');
  if (!a || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  if (a.origin !== location.origin || a.target || a.hasAttribute('download')) return;
  e.preventDefault();
  if (a.matches('.skip')) view.focus();
  else go(a.pathname + a.search);
});
addEventListener('popstate', render);

// The account, at the top.
const account = document.querySelector('#account');

function showAccount() {
  const me = person();
  if (!me) return account.replaceChildren();
  const error = h('div', { class: 'slot' });
  const leave = (everywhere) => (e) => busy(e.currentTarget, async () => {
    try {
      await logout(everywhere);
      await go('/');
      say('You are logged out');
    } catch (problem) {
      error.replaceChildren(failure(problem));
    }
  });
  const menu = h('details', { class: 'account' },
    h('summary', {}, me.name || me.email),
    h('div', { class: 'menu' }, h('p', { class: 'fine' }, me.email),
      h('button', { type: 'button', id: 'logout', click: leave(false) }, 'Log out'),
      h('button', { type: 'button', id: 'logout-everywhere', click: leave(true) }, 'Log out on all devices'), error));
  menu.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.firstChild.focus();
  });
  menu.addEventListener('focusout', (e) => { if (e.relatedTarget && !menu.contains(e.relatedTarget)) menu.open = false; });
  return account.replaceChildren(menu);
}

changes.addEventListener('change', showAccount);
document.addEventListener('click', (e) => {
  const menu = account.querySelector('details');
  if (menu && !menu.contains(e.target)) menu.open = false;
});

// What a limit counts, by the beginning of its name.
const counted = [['ai-tokens', 'tokens'], ['ai-streams', 'places'], ['ai', 'questions'], ['', 'requests']];

// The last answer, at the bottom. It is no live region: it changes all the time.
answers.addEventListener('answer', ({ detail: a }) => {
  const strip = document.querySelector('.last');
  const tightest = limits(a.headers).sort((x, y) => x.remaining / x.quota - y.remaining / y.quota)[0];
  strip.hidden = false;
  strip.replaceChildren(...[
    h('span', { class: a.status < 400 ? 'status good' : 'status bad' }, String(a.status)),
    h('span', { class: 'request' }, `${a.method} ${a.path.split('?')[0]}`),
    h('span', { class: 'time' }, `${Math.round(a.ms)} ms`),
    a.id && h('span', { class: 'id' }, copyable(a.id, 'correlation ID of the last answer')),
    tightest && h('span', { class: 'limit' }, `${tightest.remaining} of ${tightest.quota} ${counted.find(([name]) => tightest.name.startsWith(name))[1]} left`),
  ].filter(Boolean));
});

render();
// A public page shows the account too; a private one says itself what is wrong.
if (location.pathname !== '/auth/callback') user().catch(() => {});
