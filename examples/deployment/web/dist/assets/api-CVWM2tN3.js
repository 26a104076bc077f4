// All requests to the server go through call: it adds the token and an ID, and
// turns every answer that is not a success into one kind of error, in words.

// Problem is what went wrong, for the user. id is the correlation ID under which
// the server's log tells the rest; retryAfter is in seconds.
export class Problem extends Error {
  constructor({ status = 0, title, detail, id, retryAfter = 0 }) {
    super(title);
    Object.assign(this, { name: 'Problem', status, title, detail, id, retryAfter });
  }
}

// answers tells of every answer by an event "answer".
export const answers = new EventTarget();

let token; // undefined also where a cookie does its work

export function setToken(value) {
  token = value;
}

const words = {
  0: ['The server does not answer', 'Check your connection, and try again.'],
  400: ['That was not accepted', 'The server could not use what was sent.'],
  401: ['Log in first', 'Your session has ended, or there was none.'],
  403: ['Not allowed', 'The server refused this request.'],
  404: ['Not found', 'There is nothing here. It may have been deleted.'],
  405: ['Not possible', 'This cannot be done here.'],
  413: ['Too long', 'The text is longer than the server takes.'],
  429: ['Too many requests', 'The server takes only so many requests in a time.'],
  503: ['Not available right now', 'A service behind the server is away for the moment.'],
};

export async function call(method, path, { body, signal } = {}) {
  // The ID is ours, so that even a request without an answer can be found.
  let id = globalThis.crypto?.randomUUID?.();
  const headers = { Accept: 'application/json' };
  if (id) headers['X-Correlation-ID'] = id;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (token) headers.Authorization = `Bearer ${token}`;
  const begun = performance.now();
  let response;
  let text;
  try {
    response = await fetch(path, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin', cache: 'no-store', redirect: 'error',
    });
    text = await response.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem({ title: words[0][0], detail: words[0][1], id });
  }
  id = response.headers.get('X-Correlation-ID') ?? id;
  const detail = { method, path, id, status: response.status, ms: performance.now() - begun, headers: response.headers };
  answers.dispatchEvent(new CustomEvent('answer', { detail }));
  if (!response.ok) throw problemOf(response, text, id);
  return { ...detail, body: text === '' ? undefined : parse(text, id) };
}

function parse(text, id) {
  try {
    return JSON.parse(text);
  } catch { // a hotel's Wi-Fi answers for everybody
    throw new Problem({ title: words[0][0], detail: 'Something else answered in its place.', id });
  }
}

// problemOf reads problem details (RFC 9457). Anything else, from a proxy in
// between for example, is told by its status alone.
function problemOf(response, text, id) {
  const [title, detail] = words[response.status] ?? ['Something went wrong', 'It is no mistake of yours. Try again later.'];
  const problem = { status: response.status, title, detail, id, retryAfter: Number(response.headers.get('Retry-After')) || 0 };
  if (response.headers.get('Content-Type')?.startsWith('application/problem+json') && ![404, 429, 500].includes(response.status)) {
    try {
      problem.detail = JSON.parse(text).detail ?? detail;
    } catch { /* the words stay */ }
  }
  return new Problem(problem);
}

// limits reads RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers): "ip";r=97;t=1, "user";r=99;t=1.
export function limits(headers) {
  const policies = new Map(members(headers.get('RateLimit-Policy')));
  return members(headers.get('RateLimit')).map(([name, { r, t }]) => {
    const { q, w } = policies.get(name) ?? {};
    return { name, remaining: r, reset: t, quota: q, window: w };
  });
}

function members(value) {
  return [...(value ?? '').matchAll(/"([^"\\]*)"((?:;\s*[a-z]+=[^;,]*)*)/g)].map(([, name, params]) => [
    name, Object.fromEntries([...params.matchAll(/([a-z]+)=(-?\d+)/g)].map(([, k, v]) => [k, Number(v)])),
  ]);
}
