// Sensors and the farm: how they do, and what somebody should look at.
import { bytes, exactly, number, span } from "../format.js";
import { html } from "../lib.js";
import { Empty, Icon, Loaded, Panel, Time } from "../parts.js";
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

const Warning = ({ warning }) => html`<div class=${`warning ${warning.severity}`} role="alert"><${Icon} name="alert" /><p>${warning.text}</p></div>`;

function Sensor({ sensor }) {
  return html`<${Panel} title=${sensor.name} id=${`sensor-${sensor.name}`} className=${`card is-${sensor.status}`} actions=${html`<span class=${`status ${sensor.status}`}>${STATUS[sensor.status] ?? sensor.status}</span>`}>
    <p class="seen">${sensor.last_seen ? html`Last heard <${Time} at=${sensor.last_seen} />` : "Not heard of yet"} · <a href=${`/sessions?sensor=${encodeURIComponent(sensor.name)}`}>its sessions</a></p>
    ${sensor.warnings.map((w, i) => html`<${Warning} key=${i} warning=${w} />`)}
    <${Health} health=${sensor.health} /><//>`;
}

// name in the health report -> [label, how it is said]; what is not here is shown under its own name
const SAID = {
  version: ["Version", String], uptime_s: ["Up for", span], started_at: ["Started", exactly], rss_bytes: ["Memory", bytes],
  sessions: ["Sessions now", number], sessions_total: ["Sessions since start", number], events_total: ["Events since start", number],
  events: ["Events stored", number], samples: ["Samples", number], disk_free_bytes: ["Disk free", bytes],
  spool_events: ["Events waiting", number], dropped_events: ["Events dropped", number], capture: ["Capture", (v) => (v === "ok" ? "on" : String(v))], faults: ["Faults of ours", number],
};
const HIDDEN = new Set(["spool_bytes", "spool_bytes_max", "listening"]);

function said(name, value) {
  const [label, say] = SAID[name] ?? [name.replaceAll("_", " "), null];
  try { return [label, say ? say(value) : typeof value === "object" ? JSON.stringify(value) : String(value)]; } catch { return [label, String(value)]; }
}

function Health({ health }) {
  const rows = Object.entries(health).filter(([name, value]) => !HIDDEN.has(name) && value != null && value !== "");
  const { spool_bytes: spool, spool_bytes_max: most, listening } = health;
  return html`<dl class="health">${rows.map(([name, value]) => { const [label, text] = said(name, value); return html`<div key=${name}><dt>${label}</dt><dd>${text}</dd></div>`; })}
    ${most > 0 && html`<div class="wide"><dt>Spool</dt><dd><meter min="0" max=${most} high=${0.8 * most} value=${spool} aria-label="Spool in use"></meter> ${bytes(spool)} of ${bytes(most)}</dd></div>`}
    ${listening?.length > 0 && html`<div class="wide"><dt>Listens</dt><dd class="mono small">${listening.join(", ")}</dd></div>`}</dl>`;
}
