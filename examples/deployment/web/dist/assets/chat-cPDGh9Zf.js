// One answer, from the question to its last word, over as many connections as it
// takes. The question is sent once: it costs money. What comes back is numbered by
// its place in the text, so a connection that breaks is taken up where it broke.
import { Problem, call, explain, stream } from './api-t3UkSHHk.js';
import { events } from './sse-7Yb32hkV.js';

const silence = 45_000; // ms; the server sends something every 15 s, or the line is dead
const patience = 10; // attempts in vain, five minutes or so

const bytes = new TextEncoder();
export const size = (text) => bytes.encode(text).length;

const pathOf = (threadID) => `/api/threads/${encodeURIComponent(threadID)}`;
const streamOf = (threadID, id) => `${pathOf(threadID)}/messages/${encodeURIComponent(id)}/stream`;

// ask sends a question. show is told of what comes: begun(user, message) once, then
// text(piece), waiting(seconds) while there is no connection (0: it is there
// again), and ended(message, problem). It returns when the answer has ended, and
// throws what went wrong before it had begun.
export async function ask(threadID, content, show, signal) {
  const first = await stream('POST', `${pathOf(threadID)}/chat`, { body: { content }, signal });
  return follow({ threadID, have: 0, show, signal }, first.body);
}

// attach goes on with an answer that is being written, of which the page has the
// content of message so far.
export async function attach(threadID, message, show, signal) {
  return follow({ threadID, message, have: size(message.content), show, signal });
}

// stop ends an answer for good; what is there is kept.
export const stop = (threadID, id) => call('DELETE', streamOf(threadID, id));

// follow reads connection after connection. a: {threadID, message, have, show,
// signal}; have is how many bytes of the text have been shown.
async function follow(a, body) {
  const pause = { retry: 1000, failures: 0 };
  for (;;) {
    let problem;
    let end;
    try {
      if (body !== undefined || (body = await reopen(a))) {
        end = await read(a, body, pause);
        if (end === 'ended') return;
      } else { // 204: the text is here, and no more will come
        const { body: whole } = await call('GET', streamOf(a.threadID, a.message.id), { signal: a.signal });
        a.show.ended({ ...a.message, ...whole.message }, whole.problem && explain(whole.problem));
        return;
      }
    } catch (error) {
      if (a.signal.aborted) throw error;
      problem = error;
    }
    body = undefined;
    if (!a.message) throw problem ?? new Problem({ title: 'The connection broke', detail: 'The question may have arrived: look below before you send it again.' });
    pause.failures = end === 'reconnect' ? 0 : pause.failures + 1; // no fault: another server goes on
    if (!passing(problem) || pause.failures > patience) {
      a.show.ended({ ...a.message, state: 'lost', content: undefined }, problem ?? new Problem({ title: 'The connection breaks again and again', detail: 'The answer may still be written. Reload the page to see it.' }));
      return;
    }
    await wait(a, pause, problem);
  }
}

// passing tells whether a problem may be gone with the next attempt: no answer, or
// one that says so.
const passing = (problem) => !problem || problem.status === 0 || problem.status === 429 || problem.status >= 500;

async function reopen(a) {
  const { body } = await stream('GET', streamOf(a.threadID, a.message.id), {
    signal: a.signal, headers: { 'Last-Event-ID': String(a.have) },
  });
  return body;
}

// wait waits before the next attempt, longer each time, and never as long as all
// the others who lost the same server. A network that comes back ends it.
async function wait(a, pause, problem) {
  const longest = Math.min(pause.retry * 2 ** Math.max(0, pause.failures - 1), 30_000);
  const ms = Math.max(longest * (0.5 + Math.random() / 2), (problem?.retryAfter ?? 0) * 1000);
  if (pause.failures > 0) a.show.waiting(Math.ceil(ms / 1000));
  await new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      removeEventListener('online', done);
      a.signal.removeEventListener('abort', done);
      if (a.signal.aborted) reject(a.signal.reason);
      else resolve();
    }
    addEventListener('online', done);
    a.signal.addEventListener('abort', done);
  });
}

// read shows the events of one connection. It returns "ended", "reconnect" where the
// server wants that, or something else where the connection broke.
async function read(a, body, pause) {
  const reader = body.getReader();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => reader.cancel(), silence);
  };
  heard();
  try {
    for await (const e of events(reader, { heard, retry: (ms) => { pause.retry = Math.min(ms, 30_000); } })) {
      a.show.waiting(0);
      const end = take(a, e);
      if (end) return end;
      if (e.event === 'delta') pause.failures = 0; // it gets on; a greeting alone does not
    }
  } catch (error) {
    if (a.signal.aborted) throw error; // else it was cut: the next connection goes on
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
  return undefined;
}

function take(a, { event, data, id }) {
  if (event === 'reconnect') return event;
  const value = JSON.parse(data);
  switch (event) {
    case 'message': {
      const known = a.message;
      a.message = value.message;
      if (!known) a.show.begun(value.user_message, value.message);
      return undefined;
    }
    case 'delta': return add(a, value.text, Number(id));
    case 'done':
      a.show.ended({ ...a.message, content: undefined, ...value.message });
      return 'ended';
    case 'failed':
      a.show.ended({ ...a.message, state: 'failed', content: undefined, ...value.message }, explain(value));
      return 'ended';
    default: return undefined; // of a server newer than this page
  }
}

// add shows a piece whose end is at the byte "to" of the text: all of it, its new
// part, or, where something is missing before it, nothing; then the text is asked
// for again from where this page stands.
function add(a, piece, to) {
  const known = a.have - (to - size(piece));
  if (!(known >= 0)) return 'gap';
  const fresh = known === 0 ? piece : new TextDecoder().decode(bytes.encode(piece).slice(known));
  a.have = Math.max(a.have, to);
  if (fresh) a.show.text(fresh);
  return undefined;
}
