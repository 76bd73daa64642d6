// The list of samples.
import { number } from "../format.js";
import { html, useState } from "../lib.js";
import { Empty, Hash, Loaded, Raw, Size, Time } from "../parts.js";
import { go, useRoute, withQuery } from "../route.js";
import { SpanChooser } from "../span.js";
import { useData, useSpan } from "../state.js";

const ORDERS = [["last", "Last seen"], ["first", "First seen"], ["count", "Times"], ["size", "Size"]];
const KINDS = [["files", "Files"], ["payloads", "Raw payloads"], ["all", "All"]];
const PAGE = 50;

export function Samples() {
  const { query } = useRoute();
  const [span] = useSpan();
  const order = ORDERS.some(([name]) => name === query.get("order")) ? query.get("order") : "last";
  const kind = KINDS.some(([name]) => name === query.get("kind")) ? query.get("kind") : "files";
  const contains = query.get("contains") ?? "";
  const offset = Number(query.get("offset")) || 0;
  const [typed, setTyped] = useState(contains);
  const samples = useData("/api/samples", { span, kind, order, contains, offset, limit: PAGE });
  const submit = (event) => { event.preventDefault(); go(withQuery({ contains: typed.trim(), offset: "" })); };
  return html`
    <div class="view-head"><h1 tabindex="-1">Samples</h1><${SpanChooser} /></div>
    <nav class="segments" aria-label="What is listed">${KINDS.map(([value, label]) => html`<a key=${value} href=${withQuery({ kind: value === "files" ? "" : value, offset: "" })} aria-current=${value === kind ? "true" : undefined}>${label}</a>`)}</nav>
    <form class="row-form" role="search" onSubmit=${submit}>
      <label class="inline">Name, URL or hash <input type="search" value=${typed} maxlength="200" onInput=${(event) => setTyped(event.target.value)} /></label>
      <label class="inline">Order <select value=${order} onChange=${(event) => go(withQuery({ order: event.target.value, offset: "" }))}>${ORDERS.map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}</select></label>
      <button class="button">Filter</button></form>
    <${Loaded} from=${samples} rows="10">${(data) => (data.samples.length
      ? html`<${SampleTable} rows=${data.samples} stale=${samples.stale} />
        <div class="after">${offset > 0 && html`<a class="button" href=${withQuery({ offset: Math.max(0, offset - PAGE) || "" })}>Previous</a>`} ${data.next != null && html`<a class="button" href=${withQuery({ offset: data.next })}>Next</a>`}</div>`
      : html`<${Empty} title=${kind === "payloads" ? "No raw payloads" : "No samples"}>${contains ? "Nothing fits that text in this span." : kind === "payloads" ? "What is sent to a port where no service answers for it would be here." : "No attack in this span brought one. A loader that gets as far as downloading its bot leaves it here."}<//>`)}<//>`;
}

export function SampleTable({ rows, stale = false }) {
  return html`<table class=${stale ? "rows stale" : "rows"}><caption class="sr">Samples</caption>
    <thead><tr><th scope="col">Sample</th><th scope="col">What it is</th><th scope="col">Name</th><th scope="col" class="num">Size</th><th scope="col" class="num">Times</th><th scope="col" class="num">Addresses</th><th scope="col">Last seen</th></tr></thead>
    <tbody>${rows.map((s) => html`<tr key=${s.sha256}>
      <td data-label="Sample"><${Hash} sha256=${s.sha256} /></td>
      <td data-label="What it is">${s.description ? html`<${Raw} text=${s.description} max="60" />` : html`<span class="muted">not looked at yet</span>`} <${Rules} names=${s.rules} /></td>
      <td data-label="Name">${s.name ? html`<${Raw} text=${s.name} max="40" />` : html`<span class="muted">none</span>`}</td>
      <td data-label="Size" class="num"><${Size} of=${s.size} /></td>
      <td data-label="Times" class="num">${number(s.count)}</td><td data-label="Addresses" class="num">${number(s.attackers)}</td>
      <td data-label="Last seen"><${Time} at=${s.last} /></td></tr>`)}</tbody></table>`;
}

export const Rules = ({ names }) => html`<span class="chips">${names.map((name) => html`<span class="chip hot" key=${name}>${name}</span>`)}</span>`;
