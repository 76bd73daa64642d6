// A sample's bytes, a page at a time, and the texts in it.
import { number } from "./format.js";
import { html, useState } from "./lib.js";
import { Empty, Icon, Loaded, Raw } from "./parts.js";
import { useData } from "./state.js";

const PAGE = 512;
export const WIDTH = matchMedia("(max-width: 44rem)").matches ? 8 : 16;
const printable = (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·");
const kind = (byte) => (byte === 0 ? "zero" : byte >= 32 && byte < 127 ? "text" : "other");

// Up to `WIDTH` bytes in a row, from an offset on.
export const HexRow = ({ offset, bytes }) => html`<div class="hex-row"><span class="hex-offset">${offset.toString(16).padStart(8, "0")}</span><span class="hex-bytes">${Array.from(bytes, (b, i) => html`<span key=${i} class=${kind(b)}>${b.toString(16).padStart(2, "0")}</span>`)}</span><span class="hex-text">${Array.from(bytes, printable).join("")}</span></div>`;

function rowsOf(page) {
  const rows = [];
  for (let i = 0; i < page.data.length; i += 2 * WIDTH) {
    const bytes = page.data.slice(i, i + 2 * WIDTH).match(/../g).map((pair) => parseInt(pair, 16));
    rows.push({ offset: page.offset + i / 2, bytes });
  }
  return rows;
}

export function HexView({ sha256, size, at, setAt }) {
  const offset = Math.max(0, Math.min(at, Math.max(0, size - 1)));
  const begin = Math.floor(offset / WIDTH) * WIDTH;
  const page = useData(`/api/samples/${sha256}/hex`, { offset: begin, length: PAGE });
  const jump = (event) => {
    event.preventDefault();
    const wanted = Number(new FormData(event.target).get("offset"));
    if (Number.isInteger(wanted) && wanted >= 0) setAt(wanted);
  };
  return html`<div class="hexview">
    <form class="hex-tools" onSubmit=${jump}>
      <button type="button" class="tool" aria-label="Previous page" disabled=${begin === 0} onClick=${() => setAt(Math.max(0, begin - PAGE))}><${Icon} name="back" /></button>
      <button type="button" class="tool" aria-label="Next page" disabled=${begin + PAGE >= size} onClick=${() => setAt(begin + PAGE)}><${Icon} name="forward" /></button>
      <label class="inline">Offset <input name="offset" size="10" inputmode="text" pattern="(0x[0-9a-fA-F]+|[0-9]+)" title="decimal, or hexadecimal with 0x" value=${`0x${begin.toString(16)}`} key=${begin} /></label>
      <button class="button">Go</button>
      <span class="note">of ${number(size)} bytes</span>
    </form>
    <${Loaded} from=${page} rows="8">${(data) => html`<div class="hex" tabindex="0" role="group" aria-label=${`Bytes from offset ${begin}`}>
      ${rowsOf(data).map(({ offset: o, bytes }) => html`<${HexRow} key=${o} offset=${o} bytes=${bytes} />`)}
    </div>`}<//>
  </div>`;
}

export function StringsView({ sha256, show }) {
  const [offset, setOffset] = useState(0);
  const [holds, setHolds] = useState("");
  const found = useData(`/api/samples/${sha256}/strings`, { offset, limit: 1000 });
  return html`<div class="strings">
    <label class="inline">Only those with <input type="search" value=${holds} onInput=${(event) => setHolds(event.target.value)} /></label>
    <${Loaded} from=${found}>${(data) => {
      const kept = data.strings.filter((s) => s.text.toLowerCase().includes(holds.toLowerCase()));
      if (!kept.length) return html`<${Empty} title="No texts">${holds ? "Nothing on this page of texts holds that." : "This sample holds no readable text; it may be packed."}<//>`;
      return html`<ol class="string-list" tabindex="0" role="group" aria-label="Texts in the sample">${kept.map((s) => html`<li key=${s.offset}><button type="button" class="hex-offset" title="Show in the bytes" onClick=${() => show(s.offset)}>${s.offset.toString(16).padStart(8, "0")}</button><${Raw} text=${s.text} /></li>`)}</ol>
        ${(data.next != null || offset > 0) && html`<p>${offset > 0 && html`<button type="button" class="button" onClick=${() => setOffset(0)}>First texts</button>`} ${data.next != null && html`<button type="button" class="button" onClick=${() => setOffset(data.next)}>More texts</button>`}</p>`}`;
    }}<//></div>`;
}
