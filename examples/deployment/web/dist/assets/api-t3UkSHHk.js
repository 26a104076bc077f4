// All requests to the server go through call and stream: they add the token and an
// ID, and turn every answer that is not a success into one kind of error, in words.

// The server is where this page came from, unless the page's host says otherwise.
// Configuration is data in the page, no script: the policy has nothing to allow.
const config = document.querySelector('#app-config');
export const server = (config && JSON.parse(config.textContent).api) || '';

// Problem is what went wrong, for the user. id is the correlation ID under which
// the server's log tells the rest; retryAfter is in seconds. unsure: nobody knows
// whether the request was carried out, because no answer came, or not the server's.
export class Problem extends Error {
  constructor({ status = 0, title, detail, id, retryAfter = 0, unsure = status === 0 }) {
    super(title);
    Object.assign(this, { name: 'Problem', status, title, detail, id, retryAfter, unsure });
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
  409: ['Not now', 'Something else is under way here. Wait until it has ended.'],
  413: ['Too long', 'The text is longer than the server takes.'],
  422: ['No answer to that', 'The AI service did not take it.'],
  429: ['Too many requests', 'The server takes only so many requests in a time.'],
  502: ['No answer came', 'A service behind the server failed. Try again.'],
  503: ['Not available right now', 'A service behind the server is away for the moment.'],
  504: ['No answer came', 'A service behind the server took too long. Try again.'],
};

// What a refusal by a limit says, by the name of the rule; q is its quota, per
// "minute".
const refusals = {
  ai: (q, per) => ['Enough questions for now', q ? `You can ask ${q} in ${per}.` : 'You can ask only so many in a time.'],
  'ai-streams': (q) => ['Other answers are still coming', `The server writes ${q ?? 'only so many'} at once for you. Stop one, or wait until it has ended.`],
  'ai-tokens': (q, per) => ['Your budget for answers is used up', `It fills up again little by little, all of it within ${per ?? 'some time'}.`],
  user: () => ['Too many requests', 'Your account has sent more than the server takes in a time.'],
  ip: () => ['Too many requests', 'Your address has sent more than the server takes in a time.'],
  network: () => ['Too many requests', 'Your network has sent more than the server takes in a time.'],
};

const spans = { 1: 'a second', 60: 'a minute', 3600: 'an hour', 86400: 'a day' };

// open sends a request and returns the head of its answer.
async function open(method, path, { body, signal, headers = {} }) {
  // The ID is ours, so that even a request without an answer can be found.
  let id = globalThis.crypto?.randomUUID?.();
  headers = { Accept: 'application/json', ...headers };
  if (id) headers['X-Correlation-ID'] = id;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (token) headers.Authorization = `Bearer ${token}`;
  const begun = performance.now();
  const response = await reached(id, fetch(server + path, {
    method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
    credentials: 'same-origin', cache: 'no-store', redirect: 'error',
  }));
  id = response.headers.get('X-Correlation-ID') ?? id;
  return { method, path, id, begun, status: response.status, headers: response.headers, response };
}

// reached waits for what comes over the network.
async function reached(id, coming) {
  try {
    return await coming;
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem({ title: words[0][0], detail: words[0][1], id });
  }
}

const tell = (answer) => {
  answer.ms = performance.now() - answer.begun;
  answers.dispatchEvent(new CustomEvent('answer', { detail: answer }));
};

export async function call(method, path, options = {}) {
  const answer = await open(method, path, options);
  const text = await reached(answer.id, answer.response.text());
  tell(answer);
  if (!answer.response.ok) throw problemOf(answer, text);
  return { ...answer, body: text === '' ? undefined : parse(text, answer.id) };
}

// stream returns the answer with its body still to come, as an event stream, or
// with body undefined where there is nothing (204).
export async function stream(method, path, { headers, ...options } = {}) {
  const answer = await open(method, path, { ...options, headers: { Accept: 'text/event-stream', ...headers } });
  if (!answer.response.ok) {
    const text = await reached(answer.id, answer.response.text());
    tell(answer);
    throw problemOf(answer, text);
  }
  tell(answer);
  if (answer.status === 204) return { ...answer, body: undefined };
  if (!answer.headers.get('Content-Type')?.startsWith('text/event-stream')) throw foreign(answer.id);
  return { ...answer, body: answer.response.body };
}

function parse(text, id) {
  try {
    return JSON.parse(text);
  } catch { // a hotel's Wi-Fi answers for everybody
    throw foreign(id);
  }
}

const foreign = (id) => new Problem({ title: words[0][0], detail: 'Something else answered in its place.', id });

// problemOf reads problem details (RFC 9457). Anything else, from a proxy in
// between for example, is told by its status alone.
function problemOf({ status, headers, id }, text) {
  let details = { unsure: status >= 500 };
  if (headers.get('Content-Type')?.startsWith('application/problem+json')) {
    try {
      details = JSON.parse(text) ?? {};
    } catch { /* the words of the status stay */ }
  }
  return explain({ ...details, status, id, retry_after: Number(headers.get('Retry-After')) || 0 }, headers);
}

// explain makes a Problem of problem details, in the page's words where it has
// some: of an answer, or of an event in a stream.
export function explain({ status, detail, id, retry_after: retryAfter = 0, unsure, 'violated-policies': violated }, headers) {
  let [title, text] = words[status] ?? ['Something went wrong', 'It is no mistake of yours. Try again later.'];
  if (status === 429) [title, text] = refusal(violated, headers) ?? [title, text];
  else if (typeof detail === 'string' && status !== 404 && status !== 500) text = detail;
  return new Problem({ status, title, detail: text, id, retryAfter, unsure: unsure === true });
}

function refusal(violated, headers) {
  for (const name of Array.isArray(violated) ? violated : []) {
    const rule = Object.keys(refusals).find((r) => name === r || name.startsWith(`${r}-`) && !(name in refusals));
    if (!rule) continue;
    const { q, w } = Object.fromEntries(members(headers?.get('RateLimit-Policy')))[name] ?? {};
    return refusals[rule](q, spans[w] ?? (w && `${w} seconds`));
  }
  return undefined;
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
