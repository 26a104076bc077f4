// Everything on the page is made of elements and text, never of HTML strings:
// what a user wrote cannot become markup, whatever it holds.
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false));
  return element;
}

// say tells those who do not see the page what has happened.
export function say(text) {
  const news = document.querySelector('#news');
  news.textContent = '';
  setTimeout(() => { news.textContent = text; }, 50); // the same text again is news, too
}

const absolute = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const units = [['day', 86400], ['hour', 3600], ['minute', 60]];

export function ago(iso) {
  const date = new Date(iso);
  const seconds = (date - Date.now()) / 1000;
  const unit = units.find(([, s]) => Math.abs(seconds) >= s);
  let text = 'just now';
  if (seconds < -7 * 86400) text = absolute.format(date);
  else if (unit) text = relative.format(Math.round(seconds / unit[1]), unit[0]);
  return h('time', { datetime: iso, title: absolute.format(date) }, text);
}

export const plural = (n, one, many = one + 's') => `${n} ${n === 1 ? one : many}`;

// hold keeps a button from being pressed until the function that it returns is
// called. The button is not disabled: it would lose the focus.
const held = new WeakMap();

export function hold(button) {
  held.set(button, (held.get(button) ?? 0) + 1);
  button.setAttribute('aria-disabled', 'true');
  let mine = 1;
  return () => {
    held.set(button, held.get(button) - mine);
    mine = 0; // a second call does nothing
    if (held.get(button) === 0) button.removeAttribute('aria-disabled');
  };
}

export const isHeld = (button) => button.getAttribute('aria-disabled') === 'true';

// busy runs the work of a button or form once at a time: a second press just does
// nothing.
export async function busy(button, work) {
  if (isHeld(button)) return;
  const release = hold(button);
  try {
    await work();
  } finally {
    release();
  }
}

// dialog asks in a modal <dialog>, which keeps the focus inside, closes with
// Escape and gives the focus back; work runs while it is open, so that its
// error appears where the user is looking.
export function dialog({ title, text, field, action, danger, work }) {
  const error = h('div', { class: 'slot' });
  const input = field && h('input', { id: 'dialog-field', value: field.value, maxlength: field.maxlength, required: true, autocomplete: 'off' });
  const go = h('button', { class: danger ? 'danger' : 'primary' }, action);
  const box = h('dialog', { 'aria-labelledby': 'dialog-title', close: () => box.remove() },
    h('form', {
      submit: (e) => {
        e.preventDefault();
        busy(go, async () => {
          error.replaceChildren();
          try {
            await work(input?.value.trim());
            box.close();
          } catch (problem) {
            error.replaceChildren(failure(problem));
          }
        });
      },
    },
    h('h2', { id: 'dialog-title' }, title), text && h('p', {}, text),
    field && [h('label', { for: 'dialog-field' }, field.label), input], error,
    h('div', { class: 'row end' }, h('button', { type: 'button', click: () => box.close() }, 'Cancel'), go)));
  document.body.append(box);
  box.showModal();
  input?.select();
}

// copyable shows an identifier with a button that copies it. (Without a secure
// context there is no clipboard; then it is only shown.)
export function copyable(value, what) {
  const button = navigator.clipboard && h('button', {
    type: 'button', class: 'quiet small', 'aria-label': `Copy the ${what}`,
    click: async () => {
      await navigator.clipboard.writeText(value);
      button.textContent = 'Copied';
      say(`Copied the ${what}`);
      setTimeout(() => { button.textContent = 'Copy'; }, 2000);
    },
  }, 'Copy');
  return h('span', { class: 'copyable' }, h('code', {}, value), button);
}

// failure shows a problem in words: what happened, what can be done, the
// correlation ID to quote, and for a refusal by the limits the time to wait. until
// then the button to try again is held, and any other that would only be refused.
export function failure(problem, retry, button) {
  if (problem.name === 'AbortError') return ''; // the user went elsewhere
  if (!problem.title) console.error(problem); // a mistake in this program
  const again = retry && h('button', { type: 'button', click: () => busy(again, retry) }, 'Try again');
  const wait = problem.retryAfter > 0 && h('p', { class: 'wait' });
  const box = h('section', { class: 'failure', role: 'alert' },
    h('h2', {}, problem.title ?? 'Something went wrong here'),
    h('p', {}, problem.detail ?? 'This page made a mistake. Reload it, and try again.'),
    problem.status === 401 && h('p', {}, h('a', { href: location.pathname }, 'Log in')), wait, again,
    problem.id && h('p', { class: 'fine' }, 'Correlation ID ', copyable(problem.id, 'correlation ID')));
  if (wait) countdown(box, wait, [again, button].filter(Boolean), problem.retryAfter);
  return box;
}

// duration says seconds in one unit, never too short: "40 seconds", "3 hours".
export function duration(seconds) {
  if (seconds <= 90) return plural(seconds, 'second');
  if (seconds <= 90 * 60) return plural(Math.ceil(seconds / 60), 'minute');
  return plural(Math.ceil(seconds / 3600), 'hour');
}

// The seconds are for the eye: in the alert they would be read out one by one,
// so the alert says them once.
function countdown(box, wait, buttons, seconds) {
  const until = Date.now() + seconds * 1000;
  const number = h('span', { 'aria-hidden': 'true' });
  const releases = buttons.map(hold);
  const sentence = (left) => `You can try again in ${duration(left)}.`;
  wait.append(h('span', { class: 'hidden' }, sentence(seconds)), number);
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    number.textContent = left > 0 ? sentence(left) : 'You can try again now.';
    if (left > 0) return;
    clearInterval(timer);
    releases.forEach((release) => release());
    if (box.isConnected) say('You can try again now.');
  };
  const timer = setInterval(tick, 250);
  tick();
}

// speaker lets a screen reader hear a text that grows: each sentence once, as soon
// as it is whole. A live region around the text itself would begin again with
// every piece.
export function speaker() {
  const log = document.querySelector('#spoken');
  let rest = '';
  const out = (text) => { if (text.trim()) log.append(h('p', {}, text.trim())); };
  log.replaceChildren();
  return {
    hear(text) {
      rest += text;
      const whole = rest.match(/[^]*(?:[.!?:…]["')\]]*\s|[。！？\n])/)?.[0].length
        ?? (rest.length > 400 ? rest.lastIndexOf(' ') + 1 || rest.length : 0); // whoever never ends a sentence
      if (whole > 0) out(rest.slice(0, whole));
      rest = rest.slice(whole);
    },
    end() { out(rest); rest = ''; },
  };
}
