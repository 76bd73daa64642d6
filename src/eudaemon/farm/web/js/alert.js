// The report of an alert: whose bytes took control of a possessed process, the memory around them, and the code.
import { html, useEffect, useRef } from "./lib.js";
import { Loaded, Panel, Raw } from "./parts.js";
import { useData } from "./state.js";

const WIDTH = 16;
const MARKS = { t: "tagged", c: "culprit" };
const printable = (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·");

export function Alert({ session }) {
  const alert = useData(`/api/sessions/${session}/alert`);
  return html`<${Panel} title="What took control" className="alert-panel"><${Loaded} from=${alert} rows="8">${(data) => html`<${Shown} data=${data} />`}<//><//>`;
}

function Shown({ data }) {
  return html`<div class="alert-report">
    <p class="alert-words"><${Raw} text=${data.words} plain /> <span class="muted">${data.answer}</span></p>
    ${data.remarks.map((remark) => html`<p class="note" key=${remark}><${Raw} text=${remark} plain /></p>`)}
    <dl class="facts">${data.facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd><${Raw} text=${value} /></dd></div>`)}</dl>
    <p class="picture-key"><span class="tagged">came from outside</span> <span class="culprit">took control</span></p>
    ${data.pictures.map((picture, i) => html`<${Picture} key=${i} picture=${picture} />`)}
    ${data.injected.length > 0 && html`<${Listing} title="Injected code" lines=${data.injected} />`}
    <${Listing} title="Code around the instruction" lines=${data.code} />
    <${Folded} title="Registers" says="Beside each value the stream that its bytes came from, the highest byte first: - none, * several." rows=${data.registers} />
    <${Folded} title="Memory map" rows=${data.maps} />
    ${data.frames.length > 0 && html`<section><h3>Call stack</h3><div class="picture" tabindex="0" role="group" aria-label="Call stack"><table>${data.frames.map(([address, place, how], i) => html`<tr key=${i}><td>${address}</td><td><${Raw} text=${place} /></td><td class="muted"><${Raw} text=${how} plain /></td></tr>`)}</table></div></section>`}
  </div>`;
}

// What took control is scrolled into the picture's middle, once.
function Picture({ picture }) {
  const box = useRef(null);
  useEffect(() => {
    const lit = box.current?.querySelector(".culprit");
    if (lit) box.current.scrollTop += lit.getBoundingClientRect().top - box.current.getBoundingClientRect().top - box.current.clientHeight / 2;
  }, []);
  return html`<section><h3><${Raw} text=${picture.title} plain /></h3>${picture.says && html`<p><${Raw} text=${picture.says} plain /></p>`}
    <div class="picture" ref=${box} tabindex="0" role="group" aria-label=${picture.title}>${picture.rows.map((row) => html`<${Row} key=${row.at} row=${row} />`)}</div>
    ${picture.truncated && html`<p class="note">Only the beginning is shown.</p>`}</section>`;
}

function Row({ row }) {
  const bytes = (row.data.match(/../g) ?? []).map((pair) => parseInt(pair, 16));
  const skipped = Number(BigInt(row.at) % BigInt(WIDTH)); // where a window begins within a row
  const blanks = Array.from({ length: skipped }, (_, i) => html`<span key=${`b${i}`}></span>`);
  return html`<div class="picture-row"><span class="picture-at">${row.pointed ? "▸ " : ""}${row.at}</span>
    <span class="picture-bytes">${blanks}${bytes.map((byte, i) => html`<span key=${i} class=${MARKS[row.marks[i]] ?? ""}>${byte.toString(16).padStart(2, "0")}</span>`)}</span>
    <span class="picture-text">${" ".repeat(skipped)}${bytes.map(printable).join("")}</span></div>`;
}

function Folded({ title, says, rows }) {
  return rows.length > 0 && html`<details class="folded"><summary><h3>${title}</h3></summary>${says && html`<p class="note">${says}</p>`}
    <div class="picture" tabindex="0" role="group" aria-label=${title}><table>${rows.map((row, i) => html`<tr key=${i}>${row.map((text, k) => html`<td key=${k}><${Raw} text=${text} empty="" /></td>`)}</tr>`)}</table></div></details>`;
}

function Listing({ title, lines }) {
  return html`<section><h3>${title}</h3><div class="picture" tabindex="0" role="group" aria-label=${title}><table>${lines.map((line) => html`<tr key=${line.at} class=${line.here ? "here" : ""}><td>${line.at}</td><td class="muted">${line.data}</td><td><${Raw} text=${line.text} /></td></tr>`)}</table></div></section>`;
}
