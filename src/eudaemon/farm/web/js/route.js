// Where we are: the history API, one listener, and links that do not reload.
import { useEffect, useState } from "./lib.js";

const listeners = new Set();
const told = () => { for (const listener of listeners) listener(); };
addEventListener("popstate", told);

export function go(path, { replace = false } = {}) {
  if (path === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  if (!replace) scrollTo(0, 0);
  told();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const href = link.getAttribute("href");
  if (!href.startsWith("/") || href.startsWith("/api/") || link.hasAttribute("download") || link.target) return;
  event.preventDefault();
  go(href);
});

export function useRoute() {
  const [, tick] = useState(0);
  useEffect(() => {
    const listener = () => tick((n) => n + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

// The same place with some parameters changed; empty ones go.
export function withQuery(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value == null || value === false) query.delete(name);
    else query.set(name, value);
  }
  return query.size ? `${location.pathname}?${query}` : location.pathname;
}

export function path(base, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== "" && value != null) query.set(name, value);
  return query.size ? `${base}?${query}` : base;
}
