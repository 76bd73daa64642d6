// The list of sessions and its filters; all of it is in the address, so that it can be passed on.
import { exactly, NOWHERE, span as lasting } from "../format.js";
import { html, useEffect, useRef, useState } from "../lib.js";
import { get } from "../api.js";
import { Address, Country, Empty, Icon, Loaded, Problem, Raw, Time } from "../parts.js";
import { go, path, useRoute } from "../route.js";
import { SpanChooser } from "../span.js";
import { useData, useSpan } from "../state.js";

const FIELDS = ["since", "until", "country", "network", "asn", "port", "sensor", "room", "exploit", "with_login", "with_command", "with_exploit", "with_sample", "with_alert", "text"];
const OUTCOMES = [["with_login", "let in"], ["with_command", "entered commands"], ["with_exploit", "used a known exploit"], ["with_sample", "brought a sample"], ["with_alert", "took control"]];
const ROOMS = ["activemq", "adb", "backdoor", "catchall", "cmd", "distcc", "dns", "docker", "elasticsearch", "epmap", "ftp", "git", "http", "imap", "ipp", "java", "jdwp", "jenkins", "kubelet", "ldap", "memcached", "modbus", "mongodb", "mqtt", "mssql", "mysql", "netbios", "ntp", "pop3", "postgres", "pptp", "printer", "proxy", "rdp", "redis", "rocketmq", "rtsp", "s7", "sh", "sip", "smartinstall", "smb", "smtp", "snmp", "socks", "ssh", "telnet", "tftp", "tr069", "upnp", "vnc", "yarn"]; // a test holds it to the sensor's

// A moment as a field for dates and times wants it: in the browser's own zone.
function local(time) {
  const at = new Date(time ?? NaN);
  return Number.isNaN(at.getTime()) ? "" : new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function Filters({ wanted, sensors }) {
  const form = useRef(null);
  const change = (event) => {
    event?.preventDefault();
    const data = new FormData(form.current);
    const given = Object.fromEntries([...data].map(([k, v]) => [k, String(v).trim()]));
    for (const name of ["since", "until"]) given[name] = given[name] && (given[name] === local(wanted[name]) ? wanted[name] : new Date(given[name]).toISOString());
    go(path("/sessions", { ...given, span: new URLSearchParams(location.search).get("span") }));
  };
  const field = (name, label, extra = {}) => html`<label class="field"><span>${label}</span><input name=${name} value=${wanted[name] ?? ""} ...${extra} /></label>`;
  const key = JSON.stringify(wanted);
  return html`<form class="filters" ref=${form} key=${key} onSubmit=${change} aria-label="Filters">
    ${field("text", "Holds text", { type: "search", placeholder: "user, command, URL …" })}
    ${field("network", "Address or block", { placeholder: "198.51.100.0/24", class: "mono", spellcheck: false })}
    ${field("country", "Country", { placeholder: "DE", size: 4, maxlength: 2, pattern: "[A-Za-z]{2}", title: "two letters" })}
    ${field("port", "Port", { inputmode: "numeric", size: 6, pattern: "[0-9]{1,5}", placeholder: "23" })}
    ${field("asn", "AS number", { inputmode: "numeric", size: 8, pattern: "[0-9]{1,10}" })}
    <label class="field"><span>Room</span><select name="room" onChange=${change}>${["", ...ROOMS].map((room) => html`<option key=${room} value=${room} selected=${room === (wanted.room ?? "")}>${room || "any"}</option>`)}</select></label>
    <label class="field"><span>Sensor</span><select name="sensor" onChange=${change}>${["", ...new Set([...sensors, wanted.sensor].filter(Boolean))].map((sensor) => html`<option key=${sensor} value=${sensor} selected=${sensor === (wanted.sensor ?? "")}>${sensor || "any"}</option>`)}</select></label>
    ${field("exploit", "Exploit or CVE", { placeholder: "CVE-2017-17215", spellcheck: false, maxlength: 200 })}
    <label class="field"><span>Since</span><input type="datetime-local" step="1" name="since" value=${local(wanted.since)} /></label>
    <label class="field"><span>Until</span><input type="datetime-local" step="1" name="until" value=${local(wanted.until)} /></label>
    ${OUTCOMES.map(([name, label]) => html`<label class="inline check" key=${name}><input type="checkbox" name=${name} value="true" checked=${wanted[name] === "true"} onChange=${change} /> ${label}</label>`)}
    <span class="filter-buttons"><button class="button primary">Filter</button> ${Object.keys(wanted).length > 0 && html`<a class="button" href="/sessions">Clear</a>`}</span>
  </form>`;
}

export function Sessions() {
  const { query } = useRoute();
  const [span] = useSpan();
  const wanted = Object.fromEntries(FIELDS.map((name) => [name, query.get(name)]).filter(([, value]) => value));
  const asked = { ...wanted, ...(wanted.since ? {} : { span }), limit: 50 };
  const key = JSON.stringify(asked);
  const first = useData("/api/sessions", asked);
  const fleet = useData("/api/sensors");
  const [more, setMore] = useState({ key, rows: [], next: null, error: null });
  useEffect(() => setMore({ key, rows: [], next: null, error: null }), [key]);
  const rows = first.data ? [...first.data.sessions, ...(more.key === key ? more.rows : [])] : [];
  const next = more.key === key && more.rows.length ? more.next : first.data?.next;
  const older = async () => {
    try {
      const page = await get("/api/sessions", { ...asked, before: next });
      setMore((m) => (m.key === key ? { ...m, rows: [...m.rows, ...page.sessions], next: page.next, error: null } : m));
    } catch (error) { setMore((m) => ({ ...m, error })); }
  };
  const exported = (format) => path("/api/export/sessions", { ...asked, limit: "", format });
  const open = Object.keys(wanted).length > 0;
  return html`
    <div class="view-head"><h1 tabindex="-1">Sessions</h1>
      ${wanted.since ? html`<span class="chip">${exactly(wanted.since)} – ${wanted.until ? exactly(wanted.until) : "now"} <a href=${path("/sessions", { ...wanted, since: "", until: "" })} aria-label="Remove this span">×</a></span>` : html`<${SpanChooser} />`}</div>
    <details class="filter-box" open=${open || matchMedia("(min-width: 60rem)").matches}><summary><${Icon} name="filter" size="16" /> Filters</summary>
      <${Filters} wanted=${wanted} sensors=${(fleet.data?.sensors ?? []).map((s) => s.name)} /></details>
    <${Loaded} from=${first} rows="10">${() => (rows.length
      ? html`<${SessionTable} rows=${rows} stale=${first.stale} also=${{ ...wanted, ...(wanted.since ? {} : { span: query.get("span") }) }} />
        <div class="after">${more.error && html`<${Problem} error=${more.error} retry=${older} />`}
          ${next && html`<button type="button" class="button" onClick=${older}>Older sessions</button>`}
          <span class="exports">Export: <a href=${exported("csv")} download>CSV</a> <a href=${exported("json")} download>JSON lines</a></span></div>`
      : html`<${Empty} title="No sessions fit">${open ? html`Loosen the filters or choose a longer span. <a href="/sessions?span=all">Show all sessions</a>` : "Nobody has attacked in this span yet. Check under Sensors that a sensor is connected."}<//>`)}<//>`;
}

// `also` are filters that stay where a chip adds its own.
export function SessionTable({ rows, stale = false, also = {} }) {
  const only = (filter) => path("/sessions", { ...also, ...filter });
  return html`<table class=${`rows compact${stale ? " stale" : ""}`}><caption class="sr">Sessions, the newest first</caption>
    <thead><tr><th scope="col">When</th><th scope="col">Attacker</th><th scope="col">From</th><th scope="col">To</th><th scope="col">What happened</th><th scope="col" class="num">Lasted</th></tr></thead>
    <tbody>${rows.map((s) => html`<tr key=${s.session}>
      <td data-label="When"><a class="row-link" href=${`/sessions/${s.session}`}><${Time} at=${s.opened} /></a></td>
      <td data-label="Attacker" class="mono"><${Address} ip=${s.ip} /></td>
      <td data-label="From">${s.country || s.asn ? html`${s.country ? html`<a class="faint" href=${only({ country: s.country })}><${Country} code=${s.country} brief /></a>` : html`<${Country} code="" brief />`} <span class="as-name">${s.asn ? html`<a class="faint" href=${only({ asn: s.asn })}><${Raw} text=${s.as_name || `AS${s.asn}`} max="28" /></a>` : "unknown network"}</span>` : html`<span class="muted">${NOWHERE}</span>`}</td>
      <td data-label="To"><a class="faint mono" href=${only({ port: s.port })}>${s.port}</a> <a class="faint" href=${only({ room: s.room })}><${Raw} text=${s.room} plain max="24" /></a> <a class="faint muted sensor" href=${only({ sensor: s.sensor })}>${s.sensor}</a></td>
      <td data-label="What happened"><${Happened} session=${s} only=${only} /></td>
      <td data-label="Lasted" class="num">${s.closed ? lasting(s.duration_s) : html`<span class="chip live">open</span>`}</td></tr>`)}</tbody></table>`;
}

function Happened({ session: s, only }) {
  const chips = [];
  if (s.samples) chips.push(html`<a class="chip hot" key="s" href=${only({ with_sample: true })}><${Icon} name="samples" size="14" /> ${s.samples === 1 ? "sample" : `${s.samples} samples`}</a>`);
  if (s.hijacked) chips.push(html`<a class="chip hot" key="h" href=${only({ with_alert: true })}>took control of <${Raw} text=${s.hijacked} max="40" /></a>`);
  if (s.exploit) chips.push(html`<a class="chip hot" key="e" href=${only({ exploit: s.exploit.slice(0, 200) })}><${Raw} text=${s.exploit} max="40" /></a>`);
  if (s.reference) chips.push(html`<a class="chip hot" key="v" href=${only({ exploit: s.reference.slice(0, 200) })}><${Raw} text=${s.reference} plain max="40" /></a>`);
  if (s.credential) chips.push(html`<a class="chip" key="c" href=${only({ with_login: true })}>let in as <${Raw} text=${s.credential} max="40" /></a>`);
  else if (s.logins) chips.push(html`<span class="plain" key="l">${s.logins} ${s.logins === 1 ? "login" : "logins"}</span>`);
  if (s.commands) chips.push(html`<a class="chip" key="k" href=${only({ with_command: true })}>${s.commands} ${s.commands === 1 ? "command" : "commands"}</a>`);
  if (s.request && !s.exploit) chips.push(html`<span class="plain" key="r"><${Raw} text=${s.request} max="60" /></span>`);
  if (s.guess) chips.push(html`<span class="plain" key="g">${s.guess === "unknown" ? "unknown bytes" : html`looks like <${Raw} text=${s.guess} max="40" plain />`}</span>`);
  return chips.length ? html`<span class="chips">${chips}</span>` : html`<span class="muted">${s.conversation ? "spoke, did nothing" : "only connected"}</span>`;
}
