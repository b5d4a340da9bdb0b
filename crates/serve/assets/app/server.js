// Requests to the server that this page came from, and to no other.

import { eventsOf } from './events.js';

/** What the server says is wrong, or that it says nothing. `message` is for people. */
export class Problem extends Error {
  constructor({ kind = 'internal', detail, status = 0, retryAfter = null }) {
    super(detail);
    Object.assign(this, { kind, status, retryAfter });
  }

  static of(error) {
    return error instanceof Problem ? error : new Problem({ detail: `The page made a mistake: ${error.message}` });
  }
}

/** Who is told about the connection; `main.js` puts its own functions here. `token` gives the token that was typed in. */
export const connection = { lost() {}, found() {}, token: async () => '' };

let token = '';

/** Whether requests need a header that a frame or a link cannot send. */
export const hasToken = () => token !== '';

/** The response to a request; a [`Problem`] where it is no success. Waits for the token where the server asks for one. */
export async function request(path, { method = 'GET', json, form, headers = {}, signal } = {}) {
  for (;;) {
    const response = await attempt(path, { method, json, form, headers, signal });
    if (response.status !== 401) {
      if (!response.ok) throw await problemOf(response);
      return response;
    }
    token = await connection.token(token !== '');
  }
}

async function attempt(path, { method, json, form, headers, signal }) {
  const all = { ...headers };
  if (token) all.Authorization = `Bearer ${token}`;
  if (json) all['Content-Type'] = 'application/json';
  try {
    const body = json ? JSON.stringify(json) : form;
    const response = await fetch(path, { method, body, headers: all, signal, cache: 'no-store', redirect: 'error' });
    connection.found();
    return response;
  } catch (error) {
    if (signal?.aborted) throw error;
    connection.lost();
    throw new Problem({ kind: 'gone', detail: 'The server does not answer. Is it still running?' });
  }
}

async function problemOf(response) {
  const said = await response.json().catch(() => ({}));
  const detail = typeof said.detail === 'string' && said.detail ? said.detail : `The server answered with status ${response.status}.`;
  const retryAfter = Number(response.headers.get('Retry-After')) || null;
  return new Problem({ kind: said.kind, detail, status: response.status, retryAfter });
}

export const get = async (path, signal) => (await request(path, { signal })).json();
export const blobOf = async (path, signal) => (await request(path, { signal })).blob();

/** Ends an item on the server. What is gone already needs no ending. */
export function forget(path) {
  return request(path, { method: 'DELETE' }).then(() => {}, () => {});
}

const FINAL = new Set(['done', 'failed', 'cancelled']);
const MOST_BREAKS = 30;

/**
 * Hands every event of an item to `onEvent(name, data)` until the final one. A connection that breaks is taken up again; the server
 * then begins with the present state.
 */
export async function follow(path, onEvent, signal) {
  let lastId = null;
  for (let breaks = 0; breaks < MOST_BREAKS; breaks += 1) {
    try {
      const headers = lastId === null ? {} : { 'Last-Event-ID': lastId };
      const response = await request(`${path}/events`, { headers, signal });
      for await (const { name, data, id } of eventsOf(response)) {
        breaks = 0;
        lastId = id ?? lastId;
        onEvent(name, JSON.parse(data));
        if (FINAL.has(name)) return;
      }
    } catch (error) {
      const broken = error.kind === 'gone' || error instanceof TypeError; // a body that ends early is a TypeError
      if (signal.aborted || !broken) throw error;
      connection.lost();
    }
    await pause(Math.min(5000, 300 * 2 ** breaks), signal);
  }
  throw new Problem({ kind: 'gone', detail: 'The server does not answer any more. Start it again, then ask again.' });
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
