import { answering, ending, resume } from './answer-TTBXQlgV.js';
import { call } from './api-t3UkSHHk.js';
import { ask } from './chat-cPDGh9Zf.js';
import { ago, busy, dialog, failure, h, say } from './dom-9aRx3nlE.js';

const maxTitle = 200;
const maxContent = 32000;

const pathOf = (id) => `/api/threads/${encodeURIComponent(id)}`;

// more shows a button that appends the next page of a list, while there is one.
// It returns the place of the button, and all, which loads the rest of the list.
function more(list, next, load, row) {
  const slot = h('div', { class: 'slot' });
  let cursor;
  const page = async () => {
    const loaded = await load(cursor);
    const rows = loaded.rows.map((one) => row(one));
    list.append(...rows);
    show(loaded.next);
    return rows;
  };
  const show = (at) => {
    cursor = at;
    if (!cursor) return slot.replaceChildren();
    const button = h('button', {
      type: 'button', class: 'quiet',
      click: () => busy(button, async () => {
        try {
          const rows = await page();
          rows[0]?.querySelector('a, button')?.focus();
          say(`${rows.length} more`);
        } catch (problem) {
          slot.replaceChildren(failure(problem, () => show(cursor)));
        }
      }),
    }, 'Show more');
    return slot.replaceChildren(button);
  };
  show(next);
  return { slot, async all() { while (cursor) await page(); } };
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
      rows.length ? [list, more(list, next, load, row).slot]
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
  const talk = conversation(id, signal, () => { empty.hidden = list.childElementCount > 0; });
  list.append(...rows.map((message) => talk.row(message)));
  talk.changed();
  const rest = more(list, next, load, talk.row);
  talk.append = (message, live) => {
    list.append(talk.row(message, live));
    talk.changed();
    list.lastElementChild.scrollIntoView({ block: 'nearest' });
  };
  // What the server has behind the last message that is shown: also a question
  // whose sending seemed to fail.
  talk.refresh = async () => {
    await rest.all();
    const { rows: fresh } = await load(talk.last);
    fresh.forEach((message) => talk.append(message));
    return fresh;
  };
  talk.all = rest.all;
  return {
    title: thread.title,
    content: [
      h('p', { class: 'crumbs' }, h('a', { href: '/threads' }, '← All threads')),
      h('div', { class: 'heading' }, heading, threadActions(thread, heading, go)),
      h('p', { class: 'fine' }, 'Begun ', ago(thread.created_at)),
      empty, list, rest.slot, composer(id, talk),
    ],
  };
}

// conversation is what the rows and the composer of a thread share: which answers
// are being written, and which message is the last.
function conversation(threadID, signal, changed) {
  const talk = { signal, changed, last: undefined, writing: new Set(), watch: () => {} };
  talk.row = (message, live) => {
    talk.last = message.id;
    return messageRow(threadID, message, talk, live);
  };
  talk.begin = (answer) => { talk.writing.add(answer); talk.watch(); };
  talk.end = (answer) => { talk.writing.delete(answer); talk.watch(); };
  return talk;
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

// messageRow is a message; one that is still being written is filled as it comes.
// live, if it is given, gets what shows the text of the stream that is open.
function messageRow(threadID, message, talk, live) {
  const path = `${pathOf(threadID)}/messages/${encodeURIComponent(message.id)}`;
  const item = h('li', { class: `message ${message.role}` });
  const view = (focus, problem) => {
    const edit = h('button', { type: 'button', class: 'quiet small', 'aria-label': 'Edit this message', click: form }, 'Edit');
    item.replaceChildren(
      h('div', { class: 'meta' }, h('strong', {}, authors[message.role] ?? message.role), ago(message.created_at),
        h('span', { class: 'row actions' }, edit,
          h('button', { type: 'button', class: 'quiet danger small', 'aria-label': 'Delete this message', click: remove }, 'Delete'))),
      h('p', { class: 'text' }, message.content), ...[ending(message, problem, write)].filter(Boolean));
    if (focus) edit.focus();
  };
  const write = () => {
    const answer = answering(item, threadID, message, (last, problem) => {
      message = last;
      talk.end(answer);
      view(false, problem);
      if (!problem) say(message.state === 'stopped' ? 'Stopped' : 'The answer is complete');
    });
    talk.begin(answer);
    if (live) live(answer.show);
    else resume(answer, threadID, message, talk.signal);
    live = undefined; // the next time it is another stream
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
      talk.changed();
      say('Message deleted');
      (near?.querySelector('button') ?? document.querySelector('#message')).focus();
    },
  });
  if (message.state === 'streaming') write();
  else view();
  return item;
}

function sendByKeyboard(textarea) {
  textarea.addEventListener('keydown', (e) => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) textarea.form.requestSubmit();
  });
}

function composer(threadID, talk) {
  const error = h('div', { class: 'slot' });
  const text = h('textarea', { id: 'message', name: 'content', maxlength: maxContent, required: true, rows: 4, 'aria-describedby': 'message-hint' });
  const send = h('button', { class: 'primary', id: 'send' }, 'Send');
  const stop = h('button', { type: 'button', id: 'stop', hidden: true, click: () => busy(stop, halt) }, 'Stop the answer');
  talk.watch = () => {
    const focused = document.activeElement === stop;
    stop.hidden = talk.writing.size === 0;
    if (focused && stop.hidden) text.focus();
  };
  talk.watch(); // an answer may be under way already
  async function halt() {
    try {
      await Promise.all([...talk.writing].map((answer) => answer.stop()));
    } catch (problem) {
      error.replaceChildren(failure(problem));
    }
  }
  let unsure = ''; // a question whose sending failed: nobody knows how far it came
  const arrived = async (content) => (await talk.refresh()).some((m) => m.role === 'user' && m.content === content);
  const sent = () => {
    unsure = text.value = '';
    text.focus();
    say('Sent. The answer is coming.');
  };
  const submit = async () => {
    const content = text.value;
    error.replaceChildren();
    try {
      if (unsure === content && await arrived(content)) return sent();
      await talk.all(); // the answer's place is below them
      let show;
      await ask(threadID, content, {
        begun(question, answer) {
          talk.append(question);
          talk.append(answer, (s) => { show = s; });
          sent();
        },
        text: (piece) => show.text(piece),
        waiting: (seconds) => show?.waiting(seconds),
        ended: (message, problem) => show.ended(message, problem),
      }, talk.signal);
    } catch (problem) {
      if (problem.name === 'AbortError') return undefined;
      if (problem.unsure) {
        unsure = content;
        if (await arrived(content).catch(() => false)) return sent();
      }
      error.replaceChildren(failure(problem, undefined, send)); // the text stays
      error.scrollIntoView({ block: 'nearest' });
    }
    return undefined;
  };
  sendByKeyboard(text);
  return h('form', {
    class: 'composer',
    submit: (e) => {
      e.preventDefault();
      busy(send, submit);
    },
  }, h('label', { for: 'message' }, 'Message'), text, error,
  h('div', { class: 'row' }, h('span', { id: 'message-hint', class: 'fine grow' }, 'Ctrl and Enter send.'), stop, send));
}
