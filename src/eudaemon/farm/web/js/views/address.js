// One address: all that it did, across its sessions.
import { get } from "../api.js";
import { exactly, number, plural, says } from "../format.js";
import { html, useEffect, useState } from "../lib.js";
import { Bars, Copy, Country, Credential, Empty, Hash, Loaded, Panel, Problem, Raw, Size } from "../parts.js";
import { path, useRoute } from "../route.js";
import { useData } from "../state.js";
import { SessionTable } from "./sessions.js";

const PAGE = 100;
const SESSIONS = 10;

// What it did most: [ranking, title, label of an entry, where an entry leads among this address's sessions].
const LISTS = [
  ["exploits", "Exploits", (r) => html`<${Raw} text=${r.name} />${r.reference && html` <span class="muted"><${Raw} text=${r.reference} plain /></span>`}`, (r) => ({ exploit: r.name })],
  ["credentials", "Credentials", (r) => html`<${Credential} user=${r.user} password=${r.password} max="24" />`, (r) => ({ text: r.password || r.user })],
  ["commands", "Commands", (r) => html`<${Raw} text=${r.command} max="200" />`, (r) => ({ text: r.command })],
  ["urls", "URLs", (r) => html`<${Raw} text=${r.url} max="200" />`, (r) => ({ text: r.url })],
  ["ports", "Ports and rooms", (r) => html`<span class="mono">${r.port}</span> <${Raw} text=${r.room} plain max="24" />`, (r) => ({ port: r.port })],
];

export function Address({ ip }) {
  const { query } = useRoute();
  const span = query.get("span") ?? "all";
  const known = useData(`/api/addresses/${ip}`, { span });
  const found = known.error?.status === 404 ? { ...known, error: null, data: "nobody" } : known;
  return html`<div class="view-head"><h1 tabindex="-1">Address <span class="mono">${ip}</span></h1>
      <a class="button" href=${path("/sessions", { network: ip, span })}>Its sessions</a></div>
    <${Loaded} from=${found} rows="8">${(data) => (data === "nobody"
      ? html`<${Empty} title="Nothing is known of this address">It has opened no session.<//>`
      : html`<${Shown} ip=${data.ip} data=${data} span=${span} />`)}<//>`;
}

function Shown({ ip, data, span }) {
  const lists = LISTS.map(([what, ...how]) => [what, ...how, useData(`/api/ranked/${what}`, { network: ip, span, limit: 10 })]);
  const artefacts = useData("/api/ranked/artefacts", { network: ip, span, limit: 20 });
  const alerts = useData("/api/sessions", { network: ip, span, with_alert: true, limit: 5 });
  const sessions = useData("/api/sessions", { network: ip, span, limit: SESSIONS });
  const inSessions = (filter) => path("/sessions", { network: ip, span, ...Object.fromEntries(Object.entries(filter).map(([k, v]) => [k, String(v).slice(0, 200)])) });
  return html`
    <dl class="facts">
      <div><dt>Sessions</dt><dd>${number(data.sessions)} <${Copy} text=${ip} what="address" /></dd></div>
      <div><dt>First seen</dt><dd><time datetime=${data.first}>${exactly(data.first)}</time></dd></div>
      <div><dt>Last seen</dt><dd><time datetime=${data.last}>${exactly(data.last)}</time></dd></div>
      <div><dt>From</dt><dd><${Country} code=${data.country} />${data.asn ? html`, <a href=${path("/sessions", { asn: data.asn, span })}><${Raw} text=${data.as_name || `AS${data.asn}`} /></a>` : ""}</dd></div>
      <div><dt>Sensors</dt><dd>${data.sensors.map((sensor, i) => html`${i > 0 && ", "}<a href=${inSessions({ sensor })}>${sensor}</a>`)}</dd></div>
    </dl>
    ${alerts.data?.sessions.length > 0 && html`<${Panel} title="Took control"><ul class="plain-list">${alerts.data.sessions.map((s) => html`<li key=${s.session}><a href=${`/sessions/${s.session}`}>${exactly(s.opened)}</a> of <${Raw} text=${s.hijacked} max="60" /> at ${s.sensor}</li>`)}</ul><//>`}
    <div class="grid-overview">
      ${lists.map(([what, title, label, filter, rows]) => rows.data?.length !== 0 && html`<${Panel} key=${what} title=${title}><${Loaded} from=${rows}>${(found) => html`<${Bars} caption=${title} rows=${found} label=${label} href=${(r) => inSessions(filter(r))} />`}<//><//>`)}
      ${artefacts.data?.length !== 0 && html`<${Panel} title="Brought"><${Loaded} from=${artefacts}>${(rows) => html`<ul class="plain-list">${rows.map((r) => html`<li key=${r.sha256}><${Hash} sha256=${r.sha256} /> <${Raw} text=${r.name} max="40" empty=${r.origin === "payload" ? "raw payload" : "no name"} /> <span class="muted"><${Size} of=${r.size} />, ${number(r.count)}×</span></li>`)}</ul>`}<//><//>`}
    </div>
    <${Panel} title="Newest sessions" className="of-one-address"><${Loaded} from=${sessions}>${(page) => html`<${SessionTable} rows=${page.sessions} />
      ${page.next && html`<div class="after"><a class="button" href=${inSessions({})}>All ${plural(data.sessions, "session")}</a></div>`}`}<//><//>
    <${Panel} title="Everything, the newest first"><${Line} ip=${ip} span=${span} /><//>`;
}

// All facts in order of time, across sessions: a session begins where its link stands.
function Line({ ip, span }) {
  const first = useData(`/api/addresses/${ip}/events`, { span, limit: PAGE });
  const [more, setMore] = useState({ events: [], next: null, error: null });
  useEffect(() => setMore({ events: [], next: null, error: null }), [ip, span]);
  const next = more.events.length ? more.next : first.data?.next;
  const older = async () => {
    try {
      const page = await get(`/api/addresses/${ip}/events`, { span, limit: PAGE, before: next });
      setMore((m) => ({ events: [...m.events, ...page.events], next: page.next, error: null }));
    } catch (error) { setMore((m) => ({ ...m, error })); }
  };
  return html`<${Loaded} from=${first}>${(data) => {
    const events = [...data.events, ...more.events];
    return html`<ol class="address-line">${events.map((event, i) => html`<${Fact} key=${event.id} event=${event} begins=${event.session !== events[i - 1]?.session} />`)}</ol>
      ${more.error && html`<${Problem} error=${more.error} retry=${older} />`}
      ${next && html`<div class="after"><button type="button" class="button" onClick=${older}>Older</button></div>`}`;
  }}<//>`;
}

function Fact({ event, begins }) {
  const [what, text, tone] = says(event.kind, event.fields);
  return html`<li class=${`${tone}${begins ? " begins" : ""}`}><time datetime=${event.time}>${exactly(event.time)}</time>
    ${begins && event.session ? html`<a href=${`/sessions/${event.session}`}>session</a>` : html`<span></span>`}
    <span class="feed-what"><${Raw} text=${what} plain max="200" /> ${text && html`<${Raw} text=${text} max="400" />`}</span></li>`;
}
