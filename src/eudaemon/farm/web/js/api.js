// Talks to the JSON API. Errors are sentences; a lost login goes to the login view.

export class Failed extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

let whenLoggedOut = () => {};
export const onLoggedOut = (callback) => { whenLoggedOut = callback; };

async function ask(method, path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method, signal, credentials: "same-origin",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed(0, "The farm does not answer. It may be restarting; this page tries again by itself.");
  }
  const said = answer.status === 204 ? null : await answer.json().catch(() => ({ error: `The farm answered ${answer.status}.` }));
  if (answer.ok) return said;
  if (answer.status === 401 && path !== "/api/login") whenLoggedOut();
  throw new Failed(answer.status, said.error);
}

export const get = (path, parameters = {}, signal) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== "" && value != null && value !== false) query.set(name, value);
  return ask("GET", query.size ? `${path}?${query}` : path, undefined, signal);
};
export const post = (path, body = {}) => ask("POST", path, body);
export const put = (path, body) => ask("PUT", path, body);
export const remove = (path) => ask("DELETE", path);
