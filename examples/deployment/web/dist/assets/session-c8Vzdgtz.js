// Who is logged in. The server says how it delivers the token:
//
// "code": the login ends at /auth/callback with a code that is good for one
// minute, once, and only together with the verifier that never left this tab. It
// buys a token, which is kept in memory and in sessionStorage: a reload keeps the
// session, a closed tab ends it, and the browser never sends it by itself, so
// another site cannot use it. The price: a script that runs in this page could
// read it. What keeps such a script out is the Content-Security-Policy, and that
// nothing here is ever built from HTML strings.
//
// "cookie": the token is in an HttpOnly cookie that no script can read; the
// server then defends against other sites (http.CrossOriginProtection).
import { answers, call, setToken } from './api-t3UkSHHk.js';

const sessionKey = 'gatehouse.session'; // {token, until}
const loginKey = 'gatehouse.login'; // {verifier, state, back}

function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null; // a browser may forbid storage; then there is no session
  }
}

const write = (key, value) => sessionStorage.setItem(key, JSON.stringify(value));

let session = read(sessionKey) ?? undefined;
let known; // the answer of /auth/providers
let who; // the answer of /api/me
let asking; // the request for it
let timer;

// changes tells when somebody has logged in or out.
export const changes = new EventTarget();
const changed = () => changes.dispatchEvent(new Event('change'));

// keep takes the answer of /auth/token or /auth/refresh.
function keep({ access_token: value, expires_in: seconds }) {
  session = { token: value, until: Date.now() + seconds * 1000 };
  if (value) write(sessionKey, session); // no cookie's
  setToken(value);
  renewInTime();
}

// forget drops the session without asking the server.
function forget() {
  clearTimeout(timer);
  session = who = undefined;
  setToken(undefined);
  sessionStorage.removeItem(sessionKey);
  changed();
}

answers.addEventListener('answer', ({ detail }) => { if (detail.status === 401) forget(); });

// A token is short-lived, so that a stolen one is. While the page is open, it is
// exchanged for a new one well before its end.
function renewInTime() {
  clearTimeout(timer);
  if (!session) return;
  timer = setTimeout(renew, Math.max((session.until - Date.now()) / 2, 10_000)); // half: what fails is tried again
}

async function renew() {
  try {
    keep((await call('POST', '/auth/refresh')).body);
  } catch (problem) {
    if (session?.until > Date.now()) timer = setTimeout(renew, 30_000);
  } // else the next request is a 401, and the user logs in again
}

setToken(session?.token);
renewInTime();

// providers returns {delivery, providers: [{name, label}]}, asked once.
export async function providers() {
  known ??= (await call('GET', '/auth/providers')).body;
  return known;
}

// person is who is known to be logged in; user asks the server if need be.
export const person = () => who;

export function user() {
  asking ??= ask().finally(() => { asking = undefined; });
  return asking;
}

async function ask() {
  if (who) return who;
  if (!session && (await providers()).delivery !== 'cookie') return undefined;
  try {
    who = (await call('GET', '/api/me')).body;
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    return undefined;
  }
  if (!session) renew(); // a cookie: only this tells how long it lasts
  changed();
  return who;
}

const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

// login leaves this page for the provider's. The challenge is the hash of the
// verifier (RFC 7636, S256): a code that is stolen on its way here is worth
// nothing. crypto.subtle needs HTTPS or localhost.
export async function login(provider, back) {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const challenge = base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)));
  const { body } = await call('POST', `/auth/${encodeURIComponent(provider)}/initiate`, {
    body: { challenge, return_url: back },
  });
  const url = new URL(body.auth_url, location.href);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new TypeError('auth_url is no page');
  write(loginKey, { verifier, state: body.state, back });
  location.assign(url);
}

// finish is the end of a login, at /auth/callback. It returns the path to go on
// with. The URL is cleared before anything else: a code must not stay in the
// history, or be copied along with the address.
export async function finish() {
  const params = new URLSearchParams(location.search);
  history.replaceState(null, '', location.pathname);
  const kept = read(loginKey);
  sessionStorage.removeItem(loginKey); // one code, one try
  if (params.has('error')) throw new LoginError(params.get('error'));
  if (params.has('code')) {
    // Somebody else's code, in a link, would log the user in to that one's account.
    if (!kept || kept.state !== params.get('state')) throw new LoginError('invalid_request');
    const { body } = await call('POST', '/auth/token', { body: { code: params.get('code'), verifier: kept.verifier } });
    who = undefined;
    keep(body);
  }
  if (!await user()) throw new LoginError('login_failed');
  return ownPath(kept?.back);
}

// ownPath lets nothing but a path of this site through. "//host" and "/\host"
// would be other sites.
export const ownPath = (path) => (/^\/(?![/\\])/.test(path ?? '') ? path : '/threads');

const reasons = {
  access_denied: 'You did not allow it at the provider. Nothing was changed.',
  invalid_request: 'It was begun in another tab or browser, or too long ago. Begin again here.',
};

class LoginError extends Error {
  constructor(code) {
    super(code);
    this.title = 'The login was not completed';
    this.detail = reasons[code] ?? 'The answer of the provider could not be used. Begin again.'; // a URL's words are never shown
  }
}

export async function logout(everywhere) {
  try {
    await call('POST', '/auth/logout', { body: { everywhere } });
  } catch (problem) {
    if (problem.status !== 401) throw problem; // else it had ended already
  }
  forget();
}
