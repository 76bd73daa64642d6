// The live feed: one EventSource for the whole page, shared by whoever listens.

const listeners = new Set();
const watchers = new Set();
let source = null;
let state = "off"; // off, connecting, live, lost

function become(next) {
  if (next === state) return;
  state = next;
  for (const watcher of watchers) watcher(state);
}

export function start() {
  if (source) return;
  become("connecting");
  source = new EventSource("/api/live");
  source.addEventListener("open", () => become("live"));
  source.addEventListener("error", () => {
    become("lost");
    if (source?.readyState === EventSource.CLOSED) { // refused: try again later, the browser will not
      stop();
      setTimeout(start, 10_000);
    }
  });
  source.addEventListener("event", (message) => {
    const event = JSON.parse(message.data);
    event.id ||= `${event.kind} ${event.time}`;
    for (const listener of listeners) listener(event);
  });
}

export function stop() {
  source?.close();
  source = null;
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
