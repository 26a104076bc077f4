import { call } from './api-CVWM2tN3.js';
import { ago, busy, dialog, failure, h, say } from './dom-DMwleU7M.js';

const maxTitle = 200;
const maxContent = 32000;

const pathOf = (id) => `/api/threads/${encodeURIComponent(id)}`;

// more shows a button that appends the next page of a list, while there is one.
function more(list, next, load, row) {
  const slot = h('div', { class: 'slot' });
  const show = (cursor) => {
    if (!cursor) return slot.replaceChildren();
    const button = h('button', {
      type: 'button', class: 'quiet',
      click: () => busy(button, async () => {
        try {
          const page = await load(cursor);
          const rows = page.rows.map(row);
          list.append(...rows);
          rows[0]?.querySelector('a, button')?.focus();
          say(`${rows.length} more`);
          show(page.next);
        } catch (problem) {
          slot.replaceChildren(failure(problem, () => show(cursor)));
        }
      }),
    }, 'Show more');
    return slot.replaceChildren(button);
  };
  show(next);
  return slot;
}

export async function threadsPage({ signal, go }) {
  const load = async (before) => {
    const query = before ? `?before=${encodeURIComponent(before)}` : '';
    const { body } = await call('GET', `/api/threads${query}`, { signal });
    return { rows: body.threads, next: body.next };
  };
  const row = (thread) => h('li', {},
    h('a', { href: `/threads/${thread.id}` }, thread.title), h('span', { class: 'fine' }, ago(thread.updated_at)));
  const { rows, next } = await load();
  const list = h('ol', { class: 'threads' }, rows.map(row));
  return {
    title: 'Threads',
    content: [
      h('h1', {}, 'Threads'),
      newThread(go),
      rows.length ? [list, more(list, next, load, row)]
        : h('p', { class: 'empty' }, 'Nothing here yet. Give your first thread a title, and begin.'),
    ],
  };
}

function newThread(go) {
  const title = h('input', { id: 'new-thread', name: 'title', maxlength: maxTitle, required: true, autocomplete: 'off' });
  const error = h('div', { class: 'slot' });
  const create = h('button', { class: 'primary' }, 'Create');
  return h('form', {
    class: 'new',
    submit: (e) => {
      e.preventDefault();
      busy(create, async () => {
        error.replaceChildren();
        try {
          const { body } = await call('POST', '/api/threads', { body: { title: title.value.trim() } });
          await go(`/threads/${body.id}`);
        } catch (problem) {
          error.replaceChildren(failure(problem));
        }
      });
    },
  }, h('label', { for: 'new-thread' }, 'New thread'), h('div', { class: 'row' }, title, create), error);
}

export async function threadPage({ signal, go, params: { id } }) {
  const load = async (after) => {
    const query = after ? `?after=${encodeURIComponent(after)}` : '';
    const { body } = await call('GET', `${pathOf(id)}/messages${query}`, { signal });
    return { rows: body.messages, next: body.next };
  };
  const [{ body: thread }, { rows, next }] = await Promise.all([call('GET', pathOf(id), { signal }), load()]);
  const heading = h('h1', {}, thread.title);
  const empty = h('p', { class: 'empty' }, 'No messages yet. Write the first one below.');
  const list = h('ol', { class: 'messages', 'aria-label': 'Messages' });
  const show = () => { empty.hidden = list.childElementCount > 0; };
  const row = (message) => messageRow(id, message, show);
  list.append(...rows.map(row));
  show();
  const rest = more(list, next, load, row);
  // An answer that is streamed appends its row here too, and fills it as it comes.
  const append = (message) => {
    if (rest.childElementCount) return; // its place is on a page that is not shown yet
    list.append(row(message));
    show();
    list.lastElementChild.scrollIntoView({ block: 'nearest' });
  };
  return {
    title: thread.title,
    content: [
      h('p', { class: 'crumbs' }, h('a', { href: '/threads' }, '← All threads')),
      h('div', { class: 'heading' }, heading, threadActions(thread, heading, go)),
      h('p', { class: 'fine' }, 'Begun ', ago(thread.created_at)),
      empty, list, rest, composer(id, append),
    ],
  };
}

function threadActions(thread, heading, go) {
  const rename = () => dialog({
    title: 'Rename this thread', action: 'Rename',
    field: { label: 'Title', value: heading.textContent, maxlength: maxTitle },
    work: async (title) => {
      const { body } = await call('PATCH', pathOf(thread.id), { body: { title } });
      heading.textContent = body.title;
      document.title = `${body.title} · Gatehouse`;
      say('Renamed');
    },
  });
  const remove = () => dialog({
    title: 'Delete this thread?', text: 'It goes with all of its messages, for good.', action: 'Delete', danger: true,
    work: async () => {
      await call('DELETE', pathOf(thread.id));
      say('Thread deleted');
      go('/threads');
    },
  });
  return h('div', { class: 'row actions' },
    h('button', { type: 'button', class: 'quiet', click: rename }, 'Rename'),
    h('button', { type: 'button', class: 'quiet danger', click: remove }, 'Delete'));
}

const authors = { user: 'You', assistant: 'Assistant', system: 'System' };

function messageRow(threadID, message, changed) {
  const path = `${pathOf(threadID)}/messages/${encodeURIComponent(message.id)}`;
  const item = h('li', { class: `message ${message.role}` });
  const view = (focus) => {
    const edit = h('button', { type: 'button', class: 'quiet small', 'aria-label': 'Edit this message', click: form }, 'Edit');
    item.replaceChildren(
      h('div', { class: 'meta' }, h('strong', {}, authors[message.role] ?? message.role), ago(message.created_at),
        h('span', { class: 'row actions' }, edit,
          h('button', { type: 'button', class: 'quiet danger small', 'aria-label': 'Delete this message', click: remove }, 'Delete'))),
      h('p', { class: 'text' }, message.content));
    if (focus) edit.focus();
  };
  const form = () => {
    const error = h('div', { class: 'slot' });
    const text = h('textarea', { 'aria-label': 'Message', maxlength: maxContent, required: true, rows: 3 });
    text.value = message.content;
    const save = h('button', { class: 'primary' }, 'Save');
    item.replaceChildren(h('form', {
      keydown: (e) => { if (e.key === 'Escape') view(true); },
      submit: (e) => {
        e.preventDefault();
        busy(save, async () => {
          error.replaceChildren();
          try {
            message = (await call('PATCH', path, { body: { content: text.value } })).body;
            view(true);
            say('Message saved');
          } catch (problem) {
            error.replaceChildren(failure(problem));
          }
        });
      },
    }, text, error, h('div', { class: 'row end' },
      h('button', { type: 'button', class: 'quiet', click: () => view(true) }, 'Cancel'), save)));
    sendByKeyboard(text);
    text.focus();
  };
  const remove = () => dialog({
    title: 'Delete this message?', text: message.content.slice(0, 140), action: 'Delete', danger: true,
    work: async () => {
      await call('DELETE', path);
      const near = item.nextElementSibling ?? item.previousElementSibling;
      item.remove();
      changed();
      say('Message deleted');
      (near?.querySelector('button') ?? document.querySelector('#message')).focus();
    },
  });
  view();
  return item;
}

function sendByKeyboard(textarea) {
  textarea.addEventListener('keydown', (e) => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) textarea.form.requestSubmit();
  });
}

function composer(threadID, append) {
  const error = h('div', { class: 'slot' });
  const text = h('textarea', { id: 'message', name: 'content', maxlength: maxContent, required: true, rows: 4, 'aria-describedby': 'message-hint' });
  const send = h('button', { class: 'primary' }, 'Send');
  sendByKeyboard(text);
  return h('form', {
    class: 'composer',
    submit: (e) => {
      e.preventDefault();
      busy(send, async () => {
        error.replaceChildren();
        try {
          append((await call('POST', `${pathOf(threadID)}/messages`, { body: { content: text.value } })).body);
          text.value = '';
          text.focus();
          say('Message sent');
        } catch (problem) {
          error.replaceChildren(failure(problem)); // the text stays
        }
      });
    },
  }, h('label', { for: 'message' }, 'Message'), text, error,
  h('div', { class: 'row' }, h('span', { id: 'message-hint', class: 'fine grow' }, 'Ctrl and Enter send.'), send));
}
