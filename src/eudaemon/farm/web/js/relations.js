// Who brought a sample from where, as a picture: addresses on the left, URLs on the right.
import { countryName, number } from "./format.js";
import { html } from "./lib.js";
import { Address, Empty, Raw } from "./parts.js";

const SHOWN_MAX = 8;

export function Relations({ relations }) {
  const left = relations.attackers.slice(0, SHOWN_MAX);
  const right = relations.urls.slice(0, SHOWN_MAX);
  if (!left.length && !right.length) return html`<${Empty} title="Nothing known">No event says how this sample came.<//>`;
  const side = (rows, render, more, name) => html`<ul class=${`related ${name}`} aria-label=${name === "from" ? "Addresses" : "URLs"}>${rows.map(render)}${more > 0 && html`<li class="muted" key="more">and ${number(more)} more</li>`}</ul>`;
  return html`<div class="relations">
    ${side(left, (r) => html`<li key=${r.ip}><${Address} ip=${r.ip} /> <span class="muted">${countryName(r.country)}, ${number(r.count)}×</span></li>`, relations.attackers.length - SHOWN_MAX, "from")}
    <span class="related-centre" aria-hidden="true"></span>
    ${right.length ? side(right, (r) => html`<li key=${r.url}><${Raw} text=${r.url} max="90" /> <span class="muted">${number(r.count)}×</span></li>`, relations.urls.length - SHOWN_MAX, "by") : html`<p class="note">It came without a URL: it was typed or sent into the session.</p>`}
  </div>`;
}
