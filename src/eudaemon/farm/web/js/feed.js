// The live feed: what has just happened, newest first.
import { get } from "./api.js";
import { clockTime, exactly, says } from "./format.js";
import { html, useEffect, useRef, useState } from "./lib.js";
import { listen, watch } from "./live.js";
import { Country, Empty, Raw } from "./parts.js";

const KEPT = 60;
const QUIET = new Set(["session.closed"]);
const STATES = { live: "live", connecting: "connecting …", lost: "connection lost, trying again …", off: "off" };

export function Feed() {
  const [events, setEvents] = useState(null);
  const [paused, setPaused] = useState(false);
  const [state, setState] = useState("connecting");
  const waiting = useRef([]);
  const held = useRef(false);
  held.current = paused;
  useEffect(() => watch(setState), []);
  useEffect(() => {
    get("/api/recent", { limit: KEPT }).then(
      (rows) => setEvents((now) => merge(now ?? [], rows.filter((row) => !QUIET.has(row.kind)))),
      () => setEvents((now) => now ?? []),
    );
    // A flood is drawn four times a second at most.
    const timer = setInterval(() => {
      if (held.current || !waiting.current.length) return;
      const fresh = waiting.current.splice(0).reverse();
      setEvents((now) => merge(fresh, now ?? []));
    }, 250);
    const end = listen((event) => {
      if (QUIET.has(event.kind)) return;
      waiting.current.push(event);
      if (waiting.current.length > KEPT) waiting.current.shift();
    });
    return () => { clearInterval(timer); end(); };
  }, []);
  return html`<div class="feed">
    <div class="feed-head"><span class=${`pulse ${state}`} aria-hidden="true"></span><span role="status">${paused ? "paused" : STATES[state]}</span>
      <button type="button" class="quiet" aria-pressed=${paused} onClick=${() => setPaused(!paused)}>${paused ? "Go on" : "Pause"}</button></div>
    ${events && !events.length
      ? html`<${Empty} title="Nothing has happened yet">Attack a sensor yourself: <code>telnet</code> to one of its ports, and it appears here within a second.<//>`
      : html`<div class="feed-list" tabindex="0" role="log" aria-live="off" aria-label="What has just happened"><ol>${(events ?? []).map((event) => html`<${Line} key=${event.id} event=${event} />`)}</ol></div>`}
  </div>`;
}

function merge(fresh, old) {
  const known = new Set();
  return [...fresh, ...old].filter((event) => !known.has(event.id) && known.add(event.id)).slice(0, KEPT);
}

function Line({ event }) {
  const [what, text, tone] = says(event.kind, event.fields);
  return html`<li class=${`feed-line ${tone}`}>
    <time datetime=${event.time} title=${exactly(event.time)}>${clockTime(event.time)}</time>
    ${event.ip ? html`<${Country} code=${event.country} brief />` : html`<span></span>`}
    <span class="feed-what">${event.session ? html`<a href=${`/sessions/${event.session}`}>${event.ip}</a>` : html`<b>${event.sensor}</b>`} <${Raw} text=${what} plain max="120" /> ${text && html`<${Raw} text=${text} max="120" />`}</span></li>`;
}
