// Reading an event stream (HTML, section 9.2.6). The browser's EventSource can
// send no Authorization header, so the stream comes by fetch() and is read here.

// events yields {event, data, id} for every event that a reader of bytes gives. id
// is the last one that the stream has set, also by an earlier event. What stands
// behind the last blank line when the stream ends is no event: it was cut. heard is
// called for whatever arrives, heartbeats too; retry for the time, in milliseconds,
// that the server asks to wait before the stream is opened again.
export async function* events(reader, { heard = () => {}, retry = () => {} } = {}) {
  const decoder = new TextDecoder(); // a character may be cut in two; a BOM is dropped
  const parse = parser(retry);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    yield* parse(decoder.decode(value, { stream: true }));
  }
}

// parser returns a function that takes text as it comes and returns the events
// that it completes.
function parser(retry) {
  let rest = ''; // an unfinished line
  let cr = false; // the text before ended in CR: an LF now belongs to it
  let id = '';
  let event = '';
  let data = [];
  const line = (text, out) => {
    if (text === '') {
      if (data.length > 0) out.push({ event: event || 'message', data: data.join('\n'), id });
      event = '';
      data = [];
      return;
    }
    const colon = text.indexOf(':');
    const name = colon < 0 ? text : text.slice(0, colon); // '' for a comment
    const value = colon < 0 ? '' : text.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') data.push(value);
    else if (name === 'event') event = value;
    else if (name === 'id' && !value.includes('\0')) id = value;
    else if (name === 'retry' && /^\d+$/.test(value)) retry(Number(value));
  };
  return (text) => {
    if (text === '') return []; // half a character
    const out = [];
    const skip = cr && text[0] === '\n';
    cr = text.endsWith('\r');
    if (skip) text = text.slice(1);
    const lines = (rest + text).split(/\r\n|\r|\n/);
    rest = lines.pop();
    for (const l of lines) line(l, out);
    return out;
  };
}
