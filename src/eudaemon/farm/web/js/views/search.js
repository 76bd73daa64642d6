// One box for everything.
import { number, plural } from "../format.js";
import { html, useEffect, useRef, useState } from "../lib.js";
import { Address, Country, Credential, Empty, Loaded, Panel, Raw, Time } from "../parts.js";
import { go, path, useRoute } from "../route.js";
import { useData } from "../state.js";
import { SampleTable } from "./samples.js";

const TEXTS = [
  ["credentials", "Credentials", (r) => html`<${Credential} user=${r.user} password=${r.password} max="60" />`, (r) => r.password || r.user],
  ["commands", "Commands", (r) => html`<${Raw} text=${r.command} max="200" />`, (r) => r.command],
  ["urls", "URLs", (r) => html`<${Raw} text=${r.url} max="200" />`, (r) => r.url],
  ["exploits", "Exploits", (r) => html`<${Raw} text=${r.name} max="100" /> <${Raw} text=${r.reference} plain max="40" empty="" />`, (r) => r.name, "exploit"],
];

export function Search() {
  const { query } = useRoute();
  const asked = query.get("q") ?? "";
  const [typed, setTyped] = useState(asked);
  const box = useRef(null);
  useEffect(() => { setTyped(asked); if (!asked) box.current?.focus(); }, [asked]);
  const found = useData(asked ? "/api/search" : null, { q: asked, span: query.get("span") ?? "all" });
  const submit = (event) => { event.preventDefault(); if (typed.trim()) go(path("/search", { q: typed.trim() })); };
  return html`<div class="view-head"><h1 tabindex="-1">Search</h1></div>
    <form class="search-form" role="search" onSubmit=${submit}><input ref=${box} type="search" aria-label="Search for" maxlength="200" value=${typed} placeholder="198.51.100.0/24, xc3511, busybox, a hash, a session …" onInput=${(event) => setTyped(event.target.value)} /><button class="button primary">Search</button></form>
    ${!asked ? html`<p class="note">An address or block, a user name or password, a piece of a command or URL, a hash or its beginning, or a session's id.</p>`
      : html`<${Loaded} from=${found}>${(data) => html`<${Results} data=${data} asked=${asked} stale=${found.stale} />`}<//>`}`;
}

function Results({ data, asked, stale }) {
  const groups = ["sessions", "attackers", "samples", ...TEXTS.map(([name]) => name)];
  const total = groups.reduce((sum, name) => sum + data[name].length, 0);
  if (!total) return html`<${Empty} title="Nothing found">Nothing holds “<${Raw} text=${asked} plain />”. Try a shorter piece of it.<//>`;
  return html`<p class="sr" role="status">${plural(total, "result")}</p><div class=${stale ? "results stale" : "results"}>
    ${data.sessions.length > 0 && html`<${Panel} title="Session"><ul class="plain-list">${data.sessions.map((s) => html`<li key=${s.session}><a class="mono" href=${`/sessions/${s.session}`}>${s.session}</a> <${Time} at=${s.time} /> <${Address} ip=${s.ip} /> ${s.sensor}</li>`)}</ul><//>`}
    ${data.attackers.length > 0 && html`<${Panel} title="Addresses"><ul class="plain-list">${data.attackers.map((r) => html`<li key=${r.ip}><${Country} code=${r.country} brief /> <${Address} ip=${r.ip} /> <span class="muted"><${Raw} text=${r.as_name} /></span> ${plural(r.count, "attack")}, last <${Time} at=${r.last} /></li>`)}</ul><//>`}
    ${data.samples.length > 0 && html`<${Panel} title="Samples"><${SampleTable} rows=${data.samples} /><//>`}
    ${TEXTS.map(([name, title, label, text, filter = "text"]) => data[name].length > 0 && html`<${Panel} key=${name} title=${title}><ul class="plain-list">${data[name].map((r, i) => html`<li key=${i}><a href=${path("/sessions", { [filter]: text(r).slice(0, 200), span: "all" })}>${label(r)}</a> <span class="muted">${number(r.count)}×, last <${Time} at=${r.last} /></span></li>`)}</ul><//>`)}
  </div>`;
}
