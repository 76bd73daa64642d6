// What both sides of a conversation sent, byte by byte, a page at a time. Offsets count within what one side sent.
import { moment, number, plural } from "./format.js";
import { HexRow, WIDTH } from "./hex.js";
import { html, useMemo, useState } from "./lib.js";
import { Icon } from "./parts.js";

export const PAGE_ROWS = 256;
const rowsIn = (piece) => Math.ceil(piece.data.length / WIDTH);

// Splits pieces into pages of at most `PAGE_ROWS` rows: [[{ piece, from, to, offset }, …], …]. Pure.
export function pagesOf(pieces) {
  const pages = [];
  const sent = { host: 0, attacker: 0 };
  let left = 0;
  for (const piece of pieces) {
    for (let row = 0; row < rowsIn(piece);) {
      if (!left) { pages.push([]); left = PAGE_ROWS; }
      const rows = Math.min(left, rowsIn(piece) - row);
      pages[pages.length - 1].push({ piece, from: row * WIDTH, to: Math.min((row + rows) * WIDTH, piece.data.length), offset: sent[piece.side] });
      row += rows;
      left -= rows;
    }
    sent[piece.side] += piece.data.length;
  }
  return pages;
}

export function Dump({ pieces }) {
  const pages = useMemo(() => pagesOf(pieces), [pieces]);
  const [page, setPage] = useState(0);
  const wholeMs = pieces[pieces.length - 1]?.ms ?? 0;
  if (!pages.length) return html`<p class="note">Neither side sent anything.</p>`;
  const jump = (event) => {
    event.preventDefault();
    const wanted = Number(new FormData(event.target).get("page"));
    if (Number.isInteger(wanted) && wanted >= 1) setPage(Math.min(wanted, pages.length) - 1);
  };
  return html`${pages.length > 1 && html`<form class="hex-tools" onSubmit=${jump}>
      <button type="button" class="tool" aria-label="Previous page" disabled=${page === 0} onClick=${() => setPage(page - 1)}><${Icon} name="back" /></button>
      <button type="button" class="tool" aria-label="Next page" disabled=${page === pages.length - 1} onClick=${() => setPage(page + 1)}><${Icon} name="forward" /></button>
      <label class="inline">Page <input name="page" size="6" inputmode="numeric" pattern="[0-9]+" value=${page + 1} key=${page} /></label>
      <button class="button">Go</button> <span class="note">of ${number(pages.length)}</span></form>`}
    <ol class="both dump" key=${page} tabindex="0" aria-label="What both sides sent, byte by byte">${pages[page].map(({ piece, from, to, offset }, i) => html`<li key=${`${page} ${i}`} class=${piece.side}>
      <span class="who"><span>${piece.side === "host" ? "honeypot" : "attacker"}, ${plural(piece.data.length, "byte")}${from > 0 ? " (continued)" : ""}</span> <span class="moment">${moment(piece.ms, wholeMs)}</span></span>
      <div class="hex">${Array.from({ length: Math.ceil((to - from) / WIDTH) }, (_, row) => from + row * WIDTH).map((at) => html`<${HexRow} key=${at} offset=${offset + at} bytes=${piece.data.subarray(at, Math.min(at + WIDTH, to))} />`)}</div></li>`)}</ol>`;
}
