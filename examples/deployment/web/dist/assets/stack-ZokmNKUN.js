// What the server decided about one request, told by its own answer.
import { call, limits } from './api-t3UkSHHk.js';
import { busy, copyable, failure, h, plural, say } from './dom-9aRx3nlE.js';

const headers = [
  ['Content-Security-Policy', 'where scripts, styles and the rest may come from; injected ones do not run'],
  ['Strict-Transport-Security', 'only HTTPS from now on (sent over HTTPS only)'],
  ['X-Content-Type-Options', 'the declared type counts, nothing is guessed'],
  ['X-Frame-Options', 'no other site may frame this one (clickjacking)'],
  ['Referrer-Policy', 'other sites learn the origin at most, never the path'],
  ['Permissions-Policy', 'camera, microphone and the like stay off'],
  ['Cross-Origin-Opener-Policy', 'other windows get no handle on this one'],
  ['Cross-Origin-Resource-Policy', 'other sites cannot load this as their resource'],
  ['Origin-Agent-Cluster', 'a process of its own, where the browser can'],
  ['X-Permitted-Cross-Domain-Policies', 'nothing for old plug-ins'],
  ['X-XSS-Protection', 'the old filter, which was a hole itself, stays off'],
  ['Cache-Control', 'whether anything may keep this answer'],
];

const rules = {
  ip: 'your address', network: 'your network', user: 'your account', files: 'files of this app',
};

const described = (rows) => h('dl', { class: 'facts' }, rows.map(([name, value, why]) => [
  h('dt', {}, name), h('dd', {}, value, why && h('span', { class: 'why' }, why)),
]));

function section(title, text, ...content) {
  return h('section', { class: 'step' }, h('h2', {}, title), text && h('p', { class: 'fine' }, text), content);
}

function seen(body) {
  const kinds = { actual: 'from another origin', preflight: 'a preflight', 'not-cors': 'from this origin' };
  return described([
    ['Client address', h('code', {}, body.client_address), 'who counts for the limits and the log; forwarding headers only from trusted proxies'],
    ['Connection', `${body.https ? 'HTTPS' : 'plain HTTP'}, ${body.protocol}`, body.https ? 'all the way to the load balancer' : 'fine on your own machine; redirected in production'],
    ['Host', body.host === 'listed' ? 'on the list' : body.host, 'a forged Host would have been refused before anything else'],
    ['Origin', kinds[body.cors.kind.toLowerCase()] ?? body.cors.kind, body.cors.reason],
    ['Correlation ID', copyable(body.correlation_id, 'correlation ID'), 'on every answer and every log line about it; this page chose it'],
    ['Request ID', copyable(body.request_id, 'request ID'), 'made by the server alone: nobody can replay it'],
  ]);
}

function left(answer) {
  return h('ul', { class: 'meters' }, limits(answer.headers).map((l) => h('li', {},
    h('span', {}, h('strong', {}, rules[l.name] ?? l.name), ` ${l.remaining} of ${l.quota} left`),
    h('meter', { min: 0, max: l.quota, low: l.quota / 4, value: l.remaining, 'aria-label': rules[l.name] ?? l.name }),
    h('span', { class: 'fine' }, `${plural(l.quota, 'request')} in ${plural(l.window, 'second')}${l.reset ? `, one more in ${plural(l.reset, 'second')}` : ''}`))));
}

export async function stackPage({ signal }) {
  const shown = h('div', { class: 'steps' });
  const error = h('div', { class: 'slot' });
  const ask = async () => {
    const answer = await call('GET', '/api/stack', { signal });
    error.replaceChildren();
    shown.replaceChildren(
      section('What it saw', 'Read from the connection and from headers that can be trusted.', seen(answer.body)),
      section('What is left', 'Each limit is a bucket that refills while you wait.', left(answer)),
      section('What it answered', 'The headers of this very answer.',
        described(headers.map(([name, why]) => [name, h('code', {}, answer.headers.get(name) ?? '(not sent, or not for scripts of other origins)'), why]))));
  };
  const attempt = async (work) => {
    try {
      await work();
    } catch (problem) {
      error.replaceChildren(failure(problem, () => attempt(ask)));
    }
  };
  const button = (label, work, props = {}) => h('button', {
    type: 'button', ...props, click: (e) => busy(e.currentTarget, () => attempt(work)),
  }, label);
  await ask();
  return {
    title: 'How this request was decided',
    content: [
      h('h1', {}, 'How this request was decided'),
      h('p', { class: 'lead' }, 'Every request passes the same checks before the application sees it. This is what they made of the one this page just sent.'),
      h('div', { class: 'row' },
        button('Ask again', async () => { await ask(); say('Asked again'); }, { class: 'primary' }),
        button('Ask until it refuses', () => untilRefused(signal), { id: 'until-refused' }),
        button('Ask for what is not there', () => call('GET', '/api/no-such-thing', { signal }))),
      error, shown,
    ],
  };
}

// untilRefused empties the bucket, ten requests at a time.
async function untilRefused(signal) {
  for (let sent = 0; sent < 300; sent += 10) {
    await Promise.all(Array.from({ length: 10 }, () => call('GET', '/api/stack', { signal })));
  }
}
