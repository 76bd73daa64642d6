// Sensors and the farm: how they do, and what somebody should look at.
import { bytes, exactly, number, plural, span } from "../format.js";
import { html } from "../lib.js";
import { Empty, Icon, Loaded, Panel, Raw, Time } from "../parts.js";
import { useData } from "../state.js";

const STATUS = { well: "well", warning: "needs attention", silent: "silent", never: "never seen" };

export function Sensors() {
  const fleet = useData("/api/sensors", {}, { everyMs: 10_000 });
  return html`<div class="view-head"><h1 tabindex="-1">Sensors and health</h1></div>
    <${Loaded} from=${fleet} rows="6">${(data) => html`
      ${data.warnings.map((w, i) => html`<${Warning} key=${i} warning=${w} />`)}
      <div class="cards">
        ${data.sensors.map((sensor) => html`<${Sensor} key=${sensor.name} sensor=${sensor} />`)}
        <${Panel} title="Farm" className="card"><${Health} health=${data.farm} /><//>
      </div>
      ${!data.sensors.length && html`<${Empty} title="No sensor yet">Start one with <code>eudaemon sensor</code>, with the farm's address and a credential in its settings. It shows up here with its first batch.<//>`}`}<//>`;
}

const Warning = ({ warning }) => html`<div class=${`warning ${warning.severity}`} role="alert"><${Icon} name="alert" /><p><${Raw} text=${warning.text} plain /></p></div>`;

function Sensor({ sensor }) {
  return html`<${Panel} title=${sensor.name} id=${`sensor-${sensor.name}`} className=${`card is-${sensor.status}`} actions=${html`<span class=${`status ${sensor.status}`}>${STATUS[sensor.status] ?? sensor.status}</span>`}>
    <p class="seen">${sensor.last_seen ? html`Last heard <${Time} at=${sensor.last_seen} />` : "Not heard of yet"} · <a href=${`/sessions?sensor=${encodeURIComponent(sensor.name)}`}>its sessions</a></p>
    ${sensor.warnings.map((w, i) => html`<${Warning} key=${i} warning=${w} />`)}
    <${Health} health=${sensor.health} /><//>`;
}

// name in the health report -> [label, how it is said]; what is not here is said by the unit in its name
const SAID = {
  version: ["Version"], uptime_s: ["Up for"], started_at: ["Started", exactly], rss_bytes: ["Memory"], sessions: ["Sessions now"],
  sessions_total: ["Sessions since start"], events_total: ["Events since start"], disk_free_bytes: ["Disk free"], spool_events: ["Events waiting"],
  dropped_events: ["Events dropped"], capture: ["Capture", (v) => (v === "ok" ? "on" : String(v))], faults: ["Faults of ours"],
  clock_s: ["Clock", (v) => exactly(v * 1000)], spool: ["Spool"], queued_events: ["Events waiting"], loaded_events: ["Events stored since start"], engine_fault: ["Store"], artefacts_bytes: ["Size of artefacts"], events_bytes: ["Size of events"],
  fingerprint: ["Certificate (SHA-256)"], intake: ["Sensors deliver to"],
};
const HIDDEN = new Set(["spool_bytes", "spool_bytes_max", "listening", "queued_bytes", "queue_bytes_max", "disk_free_bytes_min", "outputs"]);
const LONG = 40;

function said(name, value) {
  const [label, say] = SAID[name] ?? [name.replace(/_(bytes|s)$/, "").replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase())];
  try {
    if (say) return [label, say(value)];
    if (typeof value === "number") return [label, name.endsWith("_bytes") ? bytes(value) : name.endsWith("_s") ? span(value) : number(value)];
  } catch { /* a sensor may say anything of itself */ }
  return [label, typeof value === "object" ? JSON.stringify(value) : String(value)];
}

function output({ name, told, refused, waiting, dropped, faults, trouble }) {
  const counts = [[told, "told"], [waiting, "events waiting"], [refused, "refused"], [dropped, "events dropped"], [faults, "faults of ours"]];
  return `${name}: ${counts.filter(([count], i) => i === 0 || count > 0).map(([count, what]) => `${number(count)} ${what}`).join(", ")}${trouble ? `; waits: ${trouble}` : ""}`;
}

function Health({ health }) {
  const rows = Object.entries(health).filter(([name, value]) => !HIDDEN.has(name) && value != null && value !== "");
  const { spool_bytes: spool, spool_bytes_max: most, listening, outputs } = health;
  return html`<dl class="health">${rows.map(([name, value]) => { const [label, text] = said(name, value); return html`<div key=${name} class=${text.length > LONG ? "wide" : ""}><dt><${Raw} text=${label} plain /></dt><dd><${Raw} text=${text} plain /></dd></div>`; })}
    ${most > 0 && html`<div class="wide"><dt>Spool in use</dt><dd><meter min="0" max=${most} high=${0.8 * most} value=${spool} aria-label="Spool in use"></meter> ${bytes(spool)} of ${bytes(most)}</dd></div>`}
    ${Array.isArray(listening) && listening.length > 0 && html`<div class="wide"><dt>Listens</dt><dd class="small"><details><summary>${plural(listening.length, "socket")}</summary><ul>${listening.map((one) => html`<li key=${one}><${Raw} text=${one} /></li>`)}</ul></details></dd></div>`}
    ${Array.isArray(outputs) && outputs.length > 0 && html`<div class="wide"><dt>Outputs</dt><dd class="small"><ul>${outputs.map((one) => html`<li key=${one.name}>${output(one)}</li>`)}</ul></dd></div>`}</dl>`;
}
