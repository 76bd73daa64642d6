// One sample: what it is, its bytes, its texts, and what brought it.
import { bytes, exactly, number, plural, says } from "../format.js";
import { html, useState } from "../lib.js";
import { HexView, StringsView } from "../hex.js";
import { Address, Copy, Country, Empty, Icon, Loaded, Panel, Raw, Time } from "../parts.js";
import { useData } from "../state.js";
import { Relations } from "../relations.js";
import { Rules } from "./samples.js";

export function Sample({ sha256 }) {
  const sample = useData(`/api/samples/${sha256}`);
  const [tab, setTab] = useState("hex");
  const [at, setAt] = useState(0);
  const show = (offset) => { setAt(offset); setTab("hex"); };
  return html`<${Loaded} from=${sample} rows="8">${(s) => html`
    <div class="view-head"><h1 tabindex="-1">Sample <span class="mono">${sha256.slice(0, 12)}…</span></h1>
      ${s.kept && html`<a class="button danger" href=${`/api/samples/${sha256}/download`} download><${Icon} name="download" size="16" /> Save malware</a>`}</div>
    <dl class="facts">
      <div class="wide"><dt>What it is</dt><dd>${s.description ? html`<${Raw} text=${s.description} />` : html`<span class="muted">not looked at yet</span>`} <${Rules} names=${s.rules} /></dd></div>
      ${s.does.length > 0 && html`<div class="wide"><dt>What its code does</dt><dd><ul class="plain-list">${s.does.map((text) => html`<li key=${text}><${Raw} text=${text} /></li>`)}</ul></dd></div>`}
      ${s.judged.length > 0 && html`<div class="wide"><dt>What others say</dt><dd><ul class="plain-list">${s.judged.map((j) => html`<li key=${j.by}><${Raw} text=${says("sample.judged", j).join(" ")} /> <span class="muted"><${Time} at=${j.time} /></span> ${j.link && html`<${Raw} text=${j.link} plain />`}</li>`)}</ul></dd></div>`}
      <div><dt>Size</dt><dd>${s.size < 1024 ? plural(s.size, "byte") : html`${bytes(s.size)} <span class="muted">${number(s.size)} bytes</span>`}</dd></div>
      <div><dt>Brought</dt><dd>${plural(s.count, "time")} by ${plural(s.attackers, "address", "addresses")}</dd></div>
      ${s.first && html`<div><dt>First seen</dt><dd>${exactly(s.first)}</dd></div><div><dt>Last seen</dt><dd>${exactly(s.last)}</dd></div>`}
      ${s.names.length > 0 && html`<div><dt>Names</dt><dd>${s.names.slice(0, 12).map((n, i) => html`${i > 0 && ", "}<${Raw} text=${n} max="60" />`)}</dd></div>`}
      ${s.sensors.length > 0 && html`<div><dt>Sensors</dt><dd>${s.sensors.join(", ")}</dd></div>`}
      ${[["SHA-256", sha256], ["SHA-1", s.sha1], ["MD5", s.md5], ["ssdeep", s.fuzzy]].filter(([, v]) => v).map(([name, value]) => html`<div class="span2" key=${name}><dt>${name}</dt><dd class="hash-line"><span class="mono">${value}</span> <${Copy} text=${value} what=${name} /></dd></div>`)}
    </dl>
    <div class="grid-sample">
      <${Panel} title="Content" className="content" actions=${html`<div class="segments" role="group" aria-label="Show as"><button type="button" aria-pressed=${tab === "hex"} onClick=${() => setTab("hex")}>Bytes</button><button type="button" aria-pressed=${tab === "strings"} onClick=${() => setTab("strings")}>Texts</button></div>`}>
        ${!s.kept ? html`<${Empty} title="The farm does not have these bytes">The sensor named them, but they have not arrived; they may still be on their way.<//>`
          : tab === "hex" ? html`<${HexView} sha256=${sha256} size=${s.size} at=${at} setAt=${setAt} />` : html`<${StringsView} sha256=${sha256} show=${show} />`}<//>
      <${Panel} title="What brought it"><${Relations} relations=${s.relations} /><//>
      <${Panel} title="Newest sessions"><${Sessions} rows=${s.relations.sessions} /><//>
    </div>`}<//>
    ${sample.error && !sample.data && html`<h1 tabindex="-1" class="sr">Sample</h1>`}`;
}

const none = html`<${Empty} title="Nothing known">No event names this sample.<//>`;

const Sessions = ({ rows }) => (rows.length ? html`<ul class="plain-list">${rows.slice(0, 12).map((r) => html`<li key=${r.session}><a href=${`/sessions/${r.session}`}><${Time} at=${r.time} /></a> <${Country} code=${r.country} brief /> <${Address} ip=${r.ip} /> <span class="muted">${r.sensor}</span></li>`)}</ul>` : none);
