// What views share: data that is fetched, the chosen span of time, the tick of relative times.
import { get } from "./api.js";
import { useCallback, useEffect, useRef, useState } from "./lib.js";
import { go, useRoute, withQuery } from "./route.js";

// Fetches whenever path or parameters change; with other parameters the old answer stays while the new one comes.
export function useData(path, parameters = {}, { everyMs = 0 } = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: true, path });
  const key = path && path + JSON.stringify(parameters);
  const current = useRef(null);
  const load = useCallback(async () => {
    if (!path) return;
    current.current?.abort();
    const mine = (current.current = new AbortController());
    setState((s) => (s.path === path ? { ...s, loading: true } : { data: null, error: null, loading: true, path }));
    try {
      const data = await get(path, parameters, mine.signal);
      if (!mine.signal.aborted) setState({ data, error: null, loading: false, key, path });
    } catch (error) {
      if (error.name !== "AbortError" && !mine.signal.aborted) setState((s) => ({ data: s.data, error, loading: false, key, path }));
    }
  }, [key]);
  useEffect(() => {
    load();
    return () => current.current?.abort();
  }, [key]);
  useEffect(() => {
    const wait = everyMs || (state.error?.status === 0 ? 3000 : 0);
    if (!wait) return undefined;
    const timer = setInterval(() => { if (!document.hidden) load(); }, wait);
    return () => clearInterval(timer);
  }, [load, everyMs, state.error]);
  // The answer to another question is no answer to this one, not even for a moment.
  const mine = state.path === path ? state : { data: null, error: null, loading: true };
  return { ...mine, stale: state.key !== key, reload: load };
}

export const SPANS = [["1h", "Last hour"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"], ["365d", "Last year"], ["all", "All time"]];
const valid = (span) => SPANS.some(([name]) => name === span);

function stored() {
  try { return localStorage.getItem("span"); } catch { return null; }
}

export function useSpan() {
  const { query } = useRoute();
  const asked = query.get("span");
  const span = valid(asked) ? asked : valid(stored()) ? stored() : "24h";
  const choose = (next) => {
    try { localStorage.setItem("span", next); } catch { /* it then lasts as long as the address */ }
    go(withQuery({ span: next, before: "", since: "", until: "" }), { replace: true });
  };
  return [span, choose];
}

export function useNow(everyMs = 15_000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, []);
  return now;
}
