// The live feed: one EventSource for all tabs of this browser, which keeps no more than six connections to a farm.
// The tab whose turn it is has it and passes on what it hears; when it goes, its lock goes to the tab that waits longest.

const NAME = "eudaemon live feed";
const RETRY_MS = 10_000; // after a refusal; other losses the browser mends itself
const listeners = new Set();
const watchers = new Set();
let state = "off"; // off, connecting, live, lost
let tabs = null; // the channel to the other tabs
let source = null; // while it is our turn
let retry = 0;
let leave = null; // ends our turn, or our waiting for it

function become(next) {
  if (next === state) return;
  state = next;
  for (const watcher of watchers) watcher(state);
}

function hear(event) {
  for (const listener of listeners) listener(event);
}

export function start() {
  if (leave) return;
  become("connecting");
  if (!navigator.locks || !window.BroadcastChannel) { // an old browser, or plain HTTP from elsewhere: each tab for itself
    leave = () => {};
    connect();
    return;
  }
  tabs = new BroadcastChannel(NAME);
  tabs.addEventListener("message", ({ data }) => {
    if (data.asks) { if (source) tabs.postMessage({ state }); }
    else if (source) return; // said before our turn came
    else if (data.event) hear(data.event);
    else become(data.state);
  });
  tabs.postMessage({ asks: "state" });
  const waiting = new AbortController();
  leave = () => waiting.abort();
  navigator.locks.request(NAME, { signal: waiting.signal }, () => new Promise((done) => { leave = done; connect(); }))
    .catch((error) => { if (error.name !== "AbortError") throw error; });
}

function connect() {
  const say = (next) => { become(next); tabs?.postMessage({ state: next }); };
  say("connecting");
  source = new EventSource("/api/live");
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => {
    say("lost");
    if (source?.readyState === EventSource.CLOSED) retry = setTimeout(connect, RETRY_MS); // refused
  });
  source.addEventListener("event", (message) => {
    const event = JSON.parse(message.data);
    event.id ||= `${event.kind} ${event.time}`;
    tabs?.postMessage({ event });
    hear(event);
  });
}

export function stop() {
  clearTimeout(retry);
  source?.close();
  tabs?.close();
  leave?.();
  source = tabs = leave = null;
  become("off");
}

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function watch(watcher) {
  watchers.add(watcher);
  watcher(state);
  return () => watchers.delete(watcher);
}
