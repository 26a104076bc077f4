// An answer on the page while it is written.
import { attach, stop } from './chat-cPDGh9Zf.js';
import { ago, duration, failure, h, say, speaker } from './dom-9aRx3nlE.js';

// What a message says of itself that has no more to come.
export const endings = {
  stopped: 'Stopped. This is what was written until then.',
  failed: 'This answer broke off. What was written until then is kept.',
};

// answering fills item with message as it grows. It returns what chat.js tells of
// it (show), and how to stop it. finished is called once, with the message as it
// is then, and what went wrong.
export function answering(item, threadID, message, finished) {
  const text = document.createTextNode(message.content);
  const status = h('span', { class: 'writing' }, 'Writing…');
  const voice = speaker();
  item.setAttribute('aria-busy', 'true');
  item.replaceChildren(
    h('div', { class: 'meta' }, h('strong', {}, 'Assistant'), ago(message.created_at), status),
    h('p', { class: 'text' }, text));
  const show = {
    text(piece) {
      const follow = innerHeight + scrollY > document.documentElement.scrollHeight - 120; // the reader is at the end
      text.appendData(piece);
      voice.hear(piece);
      if (follow) scrollTo(0, document.documentElement.scrollHeight);
    },
    waiting(seconds) {
      const words = seconds > 0 ? `The connection broke. Going on in ${duration(seconds)}.` : 'Writing…';
      if (seconds > 0 && status.textContent === 'Writing…') say('The connection broke. It is tried again.');
      if (status.textContent !== words) status.textContent = words;
    },
    ended(last, problem) {
      voice.end();
      item.removeAttribute('aria-busy');
      finished({ ...last, content: last.content ?? text.data }, problem); // the server's text counts, where it came along
    },
  };
  return { show, stop: () => stop(threadID, message.id) };
}

// resume goes on with an answer that was begun before this page was opened, or
// whose connection is lost.
export async function resume(live, threadID, message, signal) {
  try {
    await attach(threadID, message, live.show, signal);
  } catch (problem) {
    if (problem.name !== 'AbortError') live.show.ended({ ...message, state: 'lost', content: undefined }, problem);
  }
}

// ending is what stands below a message that did not end well.
export function ending(message, problem, again) {
  if (problem) return failure(problem, message.state === 'lost' && again);
  return endings[message.state] && h('p', { class: 'fine ending' }, endings[message.state]);
}
