// The text of an event stream, cut into events. The browser's own EventSource cannot send the header with the token.

/** Takes the text as it comes, in whatever pieces, and gives the events that have ended. */
export class EventParser {
  #rest = '';
  #event = { name: 'message', data: [], id: null };

  push(text) {
    const all = this.#rest + text;
    // A line end at the end may be the first half of \r\n.
    const lines = all.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line) {
    if (line === '') return this.#end();
    const colon = line.indexOf(':');
    if (colon === 0) return null; // a comment that keeps the connection alive
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#event.name = value;
    else if (field === 'data') this.#event.data.push(value);
    else if (field === 'id') this.#event.id = value;
    return null;
  }

  #end() {
    const { name, data, id } = this.#event;
    this.#event = { name: 'message', data: [], id: null };
    return data.length === 0 ? null : { name, data: data.join('\n'), id };
  }
}

/** The events of a response, until it ends. */
export async function* eventsOf(response) {
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield* parser.push(value);
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever stops reading hangs up
  }
}
