// One session: who, what took control of what, what happened in which order, and the replay.
import { Alert } from "../alert.js";
import { bytes, ending, exactly, moment, plural, says, span } from "../format.js";
import { html } from "../lib.js";
import { Address, Copy, Country, Empty, Hash, Icon, Loaded, Panel, Problem, Raw, Waiting } from "../parts.js";
import { Replay } from "../replay.js";
import { path } from "../route.js";
import { useData } from "../state.js";

const BROUGHT_MAX = 3; // the last ones: before the bot come files that try what the host can do

export function Session({ id }) {
  const session = useData(`/api/sessions/${id}`, {});
  const lasts = session.data && !session.data.events.some((e) => e.kind === "session.closed");
  const talk = useData(session.data?.conversation ? `/api/sessions/${id}/conversation` : null);
  return html`<${Loaded} from=${session} rows="8">${(data) => html`<${Shown} id=${id} data=${data} talk=${talk} lasts=${lasts} reload=${session.reload} />`}<//>
    ${session.error && !session.data && html`<h1 tabindex="-1" class="sr">Session</h1>`}`;
}

function Shown({ id, data, talk, lasts, reload }) {
  const first = data.events[0];
  const opened = data.events.find((e) => e.kind === "session.opened") ?? first;
  const closed = data.events.find((e) => e.kind === "session.closed")?.fields;
  const begun = Date.parse(first.time);
  const room = closed?.room || (opened.fields.room ?? "");  // of several at a port, the end says which one answered
  const samples = [...new Set(data.events.filter((e) => e.kind === "artefact.kept" && e.fields.origin !== "payload").map((e) => e.fields.sha256))];
  return html`
    <div class="view-head"><h1 tabindex="-1">Session <span class="muted">from</span> <${Address} ip=${first.ip} /></h1>
      ${lasts && html`<button type="button" class="button" onClick=${reload}>Still open. Look again</button>`}</div>
    <dl class="facts">
      <div><dt>Opened</dt><dd><time datetime=${first.time}>${exactly(first.time)}</time></dd></div>
      <div><dt>Attacker</dt><dd><${Address} ip=${first.ip} /><span class="muted">:${first.attacker_port}</span> <${Copy} text=${first.ip} what="address" /></dd></div>
      <div><dt>From</dt><dd>${first.country ? html`<a href=${path("/sessions", { country: first.country, span: "all" })}><${Country} code=${first.country} /></a>` : html`<${Country} code="" />`}${first.asn ? html`, <a href=${path("/sessions", { asn: first.asn, span: "all" })}><${Raw} text=${first.as_name || `AS${first.asn}`} /></a>` : ""}</dd></div>
      <div><dt>To</dt><dd><a href=${path("/sessions", { sensor: first.sensor, span: "all" })}>${first.sensor}</a>, port <a href=${path("/sessions", { port: first.port, span: "all" })}>${first.port}</a>${room && html`, <a href=${path("/sessions", { room, span: "all" })}><${Raw} text=${room} plain /></a>`}</dd></div>
      ${closed && html`<div><dt>Lasted</dt><dd>${span(closed.duration_s)} (<${Raw} text=${ending(closed.reason)} plain />)</dd></div><div><dt>Traffic</dt><dd>${bytes(closed.bytes_in)} in, ${bytes(closed.bytes_out)} out</dd></div>`}
      ${samples.length > 0 && html`<div><dt>Brought</dt><dd>${samples.slice(-BROUGHT_MAX).map((s) => html`<${Hash} key=${s} sha256=${s} /> `)}${samples.length > BROUGHT_MAX && html`<span class="muted">and ${plural(samples.length - BROUGHT_MAX, "file")} before</span>`}</dd></div>`}
    </dl>
    ${data.events.some((e) => e.kind === "control.hijacked" && e.fields.report) && html`<${Alert} session=${id} />`}
    <div class="grid-session">
      <${Panel} title="Replay" className="replay-panel" actions=${talk.data && html`<a class="button" href=${`/api/sessions/${id}/pcapng`} download title="For Wireshark: addresses, ports, bytes and times are those of the recording"><${Icon} name="download" size="16" /> Download as pcapng</a>`}>${
        talk.error && !talk.data ? html`<${Problem} error=${talk.error} retry=${talk.reload} />`
        : talk.data ? html`<${Replay} conversation=${talk.data} room=${room} />`
        : data.conversation ? html`<${Waiting} />`
        : room === "possession" ? html`<${Empty} title="Nothing was recorded">The peer talked to the process, not to a room of the sensor's. What came in is above.<//>`
        : html`<${Empty} title=${lasts ? "The session still lasts" : "No recording was kept"}>${lasts ? "Its recording arrives when it ends." : "None is made where the attacker said nothing, nor of SSH without a shell or command; or the sensor had no room for it."}<//>`}<//>
      <${Panel} title="What happened" actions=${html`<span class="muted">${plural(data.events.length, "fact")}</span>`}>
        <ol class="facts-line">${data.events.map((event) => html`<${Fact} key=${event.id} event=${event} begun=${begun} wholeMs=${Date.parse(data.events[data.events.length - 1].time) - begun} />`)}</ol>
        ${data.truncated && html`<p class="note">Only the first 5,000 facts are shown.</p>`}<//>
    </div>`;
}

function Fact({ event, begun, wholeMs }) {
  const [what, text, tone] = says(event.kind, event.fields);
  const hash = event.fields.sha256;
  return html`<li class=${`fact ${tone}`}><time datetime=${event.time} title=${exactly(event.time)}>+${moment(Date.parse(event.time) - begun, wholeMs)}</time>
    <div><details><summary><span class="fact-what"><${Raw} text=${what} plain /></span> ${text && html`<${Raw} text=${text} />`}</summary>
      <dl class="fields"><div><dt>kind</dt><dd><${Raw} text=${event.kind} /></dd></div>${Object.entries(event.fields).map(([name, value]) => html`<div key=${name}><dt><${Raw} text=${name} plain /></dt><dd><${Raw} text=${typeof value === "object" ? JSON.stringify(value) : String(value)} /></dd></div>`)}</dl></details>
      ${hash && html`<${Hash} sha256=${hash} chars="24" />`}
      ${event.kind === "exploit.recognised" && html`<span class="fact-links">${[event.fields.name, event.fields.reference].filter(Boolean).map((exploit) => html`<a key=${exploit} href=${path("/sessions", { exploit: exploit.slice(0, 200), span: "all" })}>All sessions with <${Raw} text=${exploit} plain max="60" /></a>`)}</span>`}</div></li>`;
}
