// The first view: what is going on, from where, and what they try.
import { NOWHERE, number, short } from "../format.js";
import { Feed } from "../feed.js";
import { html, useEffect, useRef } from "../lib.js";
import { listen } from "../live.js";
import { WorldMap } from "../map.js";
import { Bars, Country, Credential, Empty, Loaded, Panel, Raw } from "../parts.js";
import { path } from "../route.js";
import { useData, useSpan } from "../state.js";
import { SpanChooser } from "../span.js";
import { Timeline } from "../chart.js";

const TOTALS = [["attacks", "Attacks", "/sessions"], ["attackers", "Addresses", ""], ["logins", "Logins tried", "/credentials"], ["commands", "Commands", "/sessions?with_command=true"], ["exploits", "Known exploits", "/sessions?with_exploit=true"], ["alerts", "Takeovers", "/sessions?with_alert=true"], ["with_sample", "Brought a sample", "/sessions?with_sample=true"], ["samples", "Different samples", "/samples"]];

function Figure({ name, label, href, totals, before }) {
  const [now, then] = [totals[name], before[name]];
  const change = then ? Math.round((100 * (now - then)) / then) : null;
  const words = change == null ? "" : `${change > 0 ? "+" : ""}${change}%`;
  return html`<div class="figure"><dt>${href ? html`<a href=${href}>${label}</a>` : label}</dt>
    <dd><span class="value" title=${number(now)}>${short(now)}</span>${words && Math.abs(change) < 1000 && html`<span class="change" title=${`${number(then)} in the span before`}>${words}</span>`}</dd></div>`;
}

export function Overview() {
  const [span] = useSpan();
  const overview = useData("/api/overview", { span });
  const countries = useData("/api/ranked/countries", { span, limit: 250 });
  const networks = useData("/api/ranked/networks", { span, limit: 8 });
  const attackers = useData("/api/ranked/attackers", { span, limit: 8 });
  const credentials = useData("/api/ranked/credentials", { span, limit: 8 });
  const ports = useData("/api/ranked/ports", { span, limit: 8 });
  const exploits = useData("/api/ranked/exploits", { span, limit: 8 });
  const all = useRef([]);
  all.current = [overview, countries, networks, attackers, credentials, ports, exploits];
  useEffect(() => { // new events bring new numbers, at most every five seconds
    let timer = null;
    const end = listen(() => {
      timer ??= setTimeout(() => { timer = null; if (!document.hidden) for (const one of all.current) one.reload(); }, 5000);
    });
    return () => { clearTimeout(timer); end(); };
  }, []);
  const nothing = html`<${Empty} title="Nothing in this span">Choose a longer span, or wait for the first attack.<//>`;
  return html`
    <div class="view-head"><h1 tabindex="-1">Overview</h1><${SpanChooser} /></div>
    <${Loaded} from=${overview} rows="2">${(data) => html`<dl class="figures">${TOTALS.map(([name, label, href]) => html`<${Figure} key=${name} name=${name} label=${label} href=${href} totals=${data.totals} before=${data.before} />`)}</dl>`}<//>
    <div class="grid-overview">
      <${Panel} title="Attacks over time" className="wide" loading=${overview.loading}><${Loaded} from=${overview}>${(data) => html`<${Timeline} timeline=${data.timeline} />`}<//><//>
      <${Panel} title="Live" className="tall"><${Feed} /><//>
      <${Panel} title="Where from" className="wide"><${Loaded} from=${countries}>${(rows) => html`<${WorldMap} rows=${rows} />`}<//><//>
      <${Panel} title="Countries"><${Loaded} from=${countries} empty=${nothing}>${(rows) => html`<${Bars} caption="Countries by attacks" rows=${rows.slice(0, 8)} label=${(r) => html`<${Country} code=${r.country} />`} href=${(r) => r.country && path("/sessions", { country: r.country, span })} />`}<//><//>
      <${Panel} title="Networks"><${Loaded} from=${networks} empty=${nothing}>${(rows) => html`<${Bars} caption="Networks by attacks" rows=${rows} label=${(r) => (r.asn ? html`<${Raw} text=${r.as_name || `AS${r.asn}`} />` : NOWHERE)} href=${(r) => r.asn && path("/sessions", { asn: r.asn, span })} />`}<//><//>
      <${Panel} title="Addresses"><${Loaded} from=${attackers} empty=${nothing}>${(rows) => html`<${Bars} caption="Addresses by attacks" rows=${rows} label=${(r) => html`<${Country} code=${r.country} brief /> <span class="mono">${r.ip}</span>`} href=${(r) => `/addresses/${r.ip}`} />`}<//><//>
      <${Panel} title="Credentials"><${Loaded} from=${credentials} empty=${nothing}>${(rows) => html`<${Bars} caption="Credentials by attempts" rows=${rows} label=${(r) => html`<${Credential} user=${r.user} password=${r.password} max="24" />`} />`}<//><//>
      <${Panel} title="Ports"><${Loaded} from=${ports} empty=${nothing}>${(rows) => html`<${Bars} caption="Ports by attacks" rows=${rows} label=${(r) => html`<span class="mono">${r.port}</span> <${Raw} text=${r.room} plain max="24" />`} href=${(r) => path("/sessions", { port: r.port, span })} />`}<//><//>
      <${Panel} title="Known exploits"><${Loaded} from=${exploits} empty=${html`<${Empty} title="No known exploit in this span">Requests that carry one show up here. An unknown one that was about to take control of a process is a takeover, above.<//>`}>${(rows) => html`<${Bars} caption="Exploits by use" rows=${rows} label=${(r) => html`<${Raw} text=${r.name} />${r.reference && html` <span class="muted"><${Raw} text=${r.reference} plain max="40" /></span>`}`} href=${(r) => path("/sessions", { exploit: r.name.slice(0, 200), span })} />`}<//><//>
    </div>`;
}
