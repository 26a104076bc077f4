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

// busy runs the work of a button or form once at a time. The button keeps the
// focus: it is not disabled, a second press just does nothing.
export async function busy(button, work) {
  if (button.getAttribute('aria-disabled') === 'true') return;
  button.setAttribute('aria-disabled', 'true');
  try {
    await work();
  } finally {
    button.removeAttribute('aria-disabled');
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
// correlation ID to quote, and for a refusal by the limits the time to wait.
export function failure(problem, retry) {
  if (problem.name === 'AbortError') return ''; // the user went elsewhere
  if (!problem.title) console.error(problem); // a mistake in this program
  const button = retry && h('button', { type: 'button', click: () => busy(button, retry) }, 'Try again');
  const wait = problem.retryAfter > 0 && h('p', { class: 'wait' });
  const box = h('section', { class: 'failure', role: 'alert' },
    h('h2', {}, problem.title ?? 'Something went wrong here'),
    h('p', {}, problem.detail ?? 'This page made a mistake. Reload it, and try again.'),
    problem.status === 401 && h('p', {}, h('a', { href: location.pathname }, 'Log in')), wait, button,
    problem.id && h('p', { class: 'fine' }, 'Correlation ID ', copyable(problem.id, 'correlation ID')));
  if (wait) countdown(box, wait, button, problem.retryAfter);
  return box;
}

// The seconds are for the eye: in the alert they would be read out one by one,
// so the alert says them once.
function countdown(box, wait, button, seconds) {
  const until = Date.now() + seconds * 1000;
  const number = h('span', { 'aria-hidden': 'true' });
  wait.append(h('span', { class: 'hidden' }, `Wait ${plural(seconds, 'second')}.`), number);
  button?.setAttribute('aria-disabled', 'true');
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    number.textContent = left > 0 ? `Wait ${plural(left, 'second')}.` : 'You can try again now.';
    if (left > 0) return;
    clearInterval(timer);
    button?.removeAttribute('aria-disabled');
    if (box.isConnected) say('You can try again now.');
  };
  const timer = setInterval(tick, 250);
  tick();
}
