// What they try: credentials, commands, exploits and URLs, ranked.
import { number } from "../format.js";
import { html, useState } from "../lib.js";
import { Credential, Empty, Loaded, Password, Raw, Time } from "../parts.js";
import { go, path, useRoute, withQuery } from "../route.js";
import { SpanChooser } from "../span.js";
import { useData, useSpan } from "../state.js";

const KINDS = {
  credentials: ["Credentials", (r) => html`<${Credential} user=${r.user} password=${r.password} max="60" />`, (r) => r.password || r.user],
  users: ["Users", (r) => html`<${Raw} text=${r.user} max="100" />`, (r) => r.user],
  passwords: ["Passwords", (r) => html`<${Password} text=${r.password} max="100" />`, (r) => r.password],
  commands: ["Commands", (r) => html`<${Raw} text=${r.command} max="400" />`, (r) => r.command],
  exploits: ["Exploits", (r) => html`<${Raw} text=${r.name} max="100" /> <${Raw} text=${r.reference} plain max="40" empty="" />`, (r) => r.name, "exploit"],
  urls: ["URLs", (r) => html`<${Raw} text=${r.url} max="300" />`, (r) => r.url],
};

export function Credentials() {
  const { query } = useRoute();
  const [span] = useSpan();
  const kind = KINDS[query.get("kind")] ? query.get("kind") : "credentials";
  const contains = query.get("contains") ?? "";
  const [typed, setTyped] = useState(contains);
  const [limit, setLimit] = useState(100);
  const [title, label, text, filter = "text"] = KINDS[kind];
  const ranked = useData(`/api/ranked/${kind}`, { span, limit, contains });
  const submit = (event) => { event.preventDefault(); go(withQuery({ contains: typed.trim() })); };
  return html`
    <div class="view-head"><h1 tabindex="-1">Credentials and commands</h1><${SpanChooser} /></div>
    <nav class="segments" aria-label="What to rank">${Object.entries(KINDS).map(([name, [label]]) => html`<a key=${name} href=${path("/credentials", { kind: name, contains })} aria-current=${name === kind ? "page" : undefined}>${label}</a>`)}</nav>
    <form class="row-form" role="search" onSubmit=${submit}><label class="inline">Only those with <input type="search" value=${typed} maxlength="200" onInput=${(event) => setTyped(event.target.value)} /></label> <button class="button">Filter</button></form>
    <${Loaded} from=${ranked} rows="12" empty=${html`<${Empty} title="Nothing here">${contains ? "Nothing holds that text in this span." : "Nobody has tried any in this span."}<//>`}>${(rows) => html`
      <table class=${ranked.stale ? "rows ranked stale" : "rows ranked"}><caption class="sr">${title}, the most frequent first</caption>
        <thead><tr><th scope="col" class="num">#</th><th scope="col">${title}</th><th scope="col" class="num">Times</th><th scope="col" class="num">Addresses</th><th scope="col">Last</th></tr></thead>
        <tbody>${rows.map((row, i) => html`<tr key=${i}><td class="num rank">${i + 1}</td>
          <td data-label=${title} class="what">${text(row) === null ? label(row) : html`<a href=${path("/sessions", { [filter]: text(row).slice(0, 200), span })}>${label(row)}</a>`}</td>
          <td data-label="Times" class="num">${number(row.count)}</td><td data-label="Addresses" class="num">${number(row.attackers)}</td><td data-label="Last"><${Time} at=${row.last} /></td></tr>`)}</tbody></table>
      ${rows.length === limit && limit < 500 && html`<div class="after"><button type="button" class="button" onClick=${() => setLimit(500)}>Show 500</button></div>`}`}<//>`;
}
