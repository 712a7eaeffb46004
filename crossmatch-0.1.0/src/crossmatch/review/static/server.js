// Talking to the server: questions, bytes, and what it is told. Errors have words for the user.

export class Told extends Error {
  constructor(text, answer = {}) {
    super(text);
    this.answer = answer;
  }
}

const GONE = "The server does not answer: it has ended, or the machine sleeps. Start crossmatch review again; "
  + "what was accepted is kept, and so are corrections up to the last few seconds.";

async function call(name, query, options) {
  const address = `api/${name}?${new URLSearchParams(query)}`;
  let response;
  try {
    response = await fetch(address, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Told(GONE, { gone: true });
  }
  if (response.ok) return response;
  let answer = {};
  try {
    answer = await response.json();
  } catch {
    answer = { error: `The server answered ${response.status}.` };
  }
  throw new Told(answer.error, answer);
}

export async function ask(name, query = {}, options = {}) {
  return (await call(name, query, options)).json();
}

export async function bytes(name, query = {}, options = {}) {
  return (await call(name, query, options)).arrayBuffer();
}

export async function tell(name, query = {}, body = null) {
  const answer = await call(name, query, { method: "POST", body: body ?? "" });
  return name === "back" ? answer.arrayBuffer() : answer.json();
}

export function thumbnail(id) {
  return `api/thumbnail?${new URLSearchParams({ id })}`;
}
