// Small parts that every view is made of.
import { ago, bytes, countryName, exactly, number, visibly } from "./format.js";
import { html, useState } from "./lib.js";
import { useNow } from "./state.js";

const PATHS = {
  overview: "M3 13h5l2-7 4 13 2.5-6H21", sessions: "M4 5h16v11H9l-5 4z", credentials: "M14.5 9.5a4 4 0 1 1-8 0 4 4 0 0 1 8 0zM13.5 12.5 20 19m-2.5-2.500 2-2",
  samples: "M12 3 20 7.500v9L12 21l-8-4.500v-9zM12 12l8-4.500M12 12v9M12 12 4 7.500", sensors: "M12 13v8M8.500 9.500a5 5 0 0 1 7 0M5.500 6.500a9.200 9.200 0 0 1 13 0M12 13h.01",
  search: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500 21 21", play: "M7 4.500v15l12-7.500z", pause: "M8 5v14M16 5v14", restart: "M4 5v5h5M4.500 10a8 8 0 1 1-.5 4",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M2 12h2M20 12h2M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400", moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500z",
  user: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.500 20.500c1-4 4-5.500 7.500-5.500s6.500 1.500 7.500 5.500", out: "M14 4h5v16h-5M4 12h11M11 8l4 4-4 4", copy: "M9 9h11v11H9zM5 15H4V4h11v1", download: "M12 4v11M7.500 11 12 15.500 16.500 11M4 20h16",
  plus: "M12 5v14M5 12h14", minus: "M5 12h14", reset: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5", alert: "M12 4 21 20H3zM12 10v4M12 17h.01", check: "M5 12.500 10 17l9-10", back: "M15 5l-7 7 7 7", forward: "M9 5l7 7-7 7", filter: "M4 6h16M7 12h10M10 18h4",
};

export const Icon = ({ name, size = 20 }) => html`<svg class="icon" width=${size} height=${size} viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;

// What an attacker wrote: text nodes only, with what cannot be seen made visible. A block also breaks its lines.
export function Raw({ text, max = 0, block = false, plain = false, empty = "(empty)" }) {
  const whole = String(text ?? "");
  const cut = max && whole.length > max ? `${whole.slice(0, max)}…` : whole;
  const parts = visibly(cut);
  const shown = parts.map((part, i) => (i % 2 ? html`<span class="esc">${part}</span>${block && part === "\\n" ? "\n" : ""}` : part));
  return html`<span class=${`raw${block ? " block" : ""}${plain ? " prose" : ""}`} title=${cut === whole || whole.length > 2000 ? undefined : visibly(whole).join("")}>${whole === "" ? html`<span class="empty-text">${empty}</span>` : shown}</span>`;
}

// Of an answered challenge (NTLM, VNC, SIP …) the password is told only where it is one of the obvious ones.
export const Password = ({ text, max }) => html`<${Raw} text=${text} max=${max} empty="(empty or unknown)" />`;
export const Credential = ({ user, password, max }) => html`<${Raw} text=${user} max=${max} /> <span class="slash">/</span> <${Password} text=${password} max=${max} />`;

export function Time({ at }) {
  const now = useNow();
  return html`<time datetime=${at} title=${exactly(at)}>${ago(at, now)}</time>`;
}

export const Country = ({ code, brief = false }) => html`<span class="country" title=${countryName(code)}>${(code || brief) && html`<span class="code" aria-hidden=${brief ? undefined : "true"}>${code || "?"}</span> `}${!brief && countryName(code)}</span>`;

export const Address = ({ ip }) => (ip ? html`<a class="mono" href=${`/addresses/${ip}`}>${ip}</a>` : null);

export const Hash = ({ sha256, chars = 12 }) => html`<a class="hash" href=${`/samples/${sha256}`} title=${sha256}>${sha256.slice(0, chars)}…</a>`;

export function Panel({ title, children, actions, id, className = "", loading = false }) {
  const heading = id ?? `panel-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return html`<section class=${`panel ${className}`} aria-labelledby=${heading} aria-busy=${loading}>
    <header><h2 id=${heading}>${title}</h2>${actions}</header>${children}</section>`;
}

export const Empty = ({ title, children }) => html`<div class="empty"><p class="empty-title">${title}</p><p>${children}</p></div>`;

export const Problem = ({ error, retry }) => html`<div class="problem" role="alert"><${Icon} name="alert" /><p>${error.message}</p>
  ${retry && html`<button type="button" class="button" onClick=${retry}>Try again</button>`}</div>`;

export const Waiting = ({ rows = 4 }) => html`<div class="waiting" role="status"><span class="sr">Loading …</span>${Array.from({ length: rows }, (_, i) => html`<span class="bone" key=${i}></span>`)}</div>`;

// Shows what a fetch came to: problem, waiting, nothing, or its data.
export function Loaded({ from, empty, rows, children }) {
  if (from.error && (!from.data || from.error.status)) return html`<${Problem} error=${from.error} retry=${from.reload} />`;
  if (!from.data) return html`<${Waiting} rows=${rows} />`;
  if (Array.isArray(from.data) && !from.data.length && empty) return empty;
  return html`${from.error && html`<${Problem} error=${from.error} />`}${children(from.data)}`;
}

// A ranking: each entry a bar of its share, and a link if `href` has one for it.
export function Bars({ rows, label, href, caption }) {
  const most = Math.max(1, ...rows.map((row) => row.count));
  return html`<ol class="bars" aria-label=${caption}>${rows.map((row, i) => html`<li key=${i}>
    <span class="bar" style=${{ width: `${(100 * row.count) / most}%` }} aria-hidden="true"></span>
    ${href?.(row) ? html`<a class="bar-label" href=${href(row)}>${label(row)}</a>` : html`<span class="bar-label">${label(row)}</span>`}
    <span class="bar-count" title=${`${number(row.count)} from ${number(row.attackers)} addresses`}>${number(row.count)}</span></li>`)}</ol>`;
}

export function Copy({ text, what }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); } catch { return; }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" class="quiet" onClick=${copy} aria-label=${done ? `${what} copied` : `Copy ${what}`} title=${`Copy ${what}`}><${Icon} name=${done ? "check" : "copy"} size="16" /></button>`;
}

export const Size = ({ of }) => html`<span title=${`${number(of)} bytes`}>${bytes(of)}</span>`;
