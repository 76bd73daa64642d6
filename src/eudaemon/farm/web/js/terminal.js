// A terminal that is only looked at: xterm's parser and buffer without its drawing, shown as text nodes.
import { html, useEffect, useRef, useState } from "./lib.js";
import { Terminal } from "../vendor/xterm-headless.mjs";

export const COLUMNS = 80;
const ROWS = 24;
const LINES_MAX = 2000;

export const create = () => new Terminal({ cols: COLUMNS, rows: ROWS, scrollback: LINES_MAX, allowProposedApi: true, convertEol: false, logLevel: "off" });

function colour(cell, front) {
  if (front ? cell.isFgDefault() : cell.isBgDefault()) return null;
  const value = front ? cell.getFgColor() : cell.getBgColor();
  if (front ? cell.isFgRGB() : cell.isBgRGB()) return `rgb(${value >> 16},${(value >> 8) & 255},${value & 255})`;
  if (value < 16) return `var(--ansi-${value})`;
  if (value >= 232) { const grey = 8 + 10 * (value - 232); return `rgb(${grey},${grey},${grey})`; }
  const step = (n) => (n ? 55 + 40 * n : 0);
  const cube = value - 16;
  return `rgb(${step(Math.floor(cube / 36))},${step(Math.floor(cube / 6) % 6)},${step(cube % 6)})`;
}

// One line of the buffer as runs of equal look: [[text, class, foreground, background], …].
function runs(line) {
  const found = [];
  let last = null;
  for (let x = 0; x < line.length; x += 1) {
    const cell = line.getCell(x);
    if (!cell || cell.getWidth() === 0) continue;
    let [front, back] = [colour(cell, true), colour(cell, false)];
    if (cell.isInverse()) [front, back] = [back ?? "var(--term-bg)", front ?? "var(--term-ink)"];
    const look = [cell.isBold() ? "b" : "", cell.isDim() ? "d" : "", cell.isUnderline() ? "u" : "", cell.isInvisible() ? "i" : ""].join("");
    const text = cell.getChars() || " ";
    if (last && last[1] === look && last[2] === front && last[3] === back) last[0] += text;
    else found.push((last = [text, look, front, back]));
  }
  if (last && !last[3] && !last[1].includes("u")) last[0] = last[0].trimEnd();
  return found.length === 1 && !found[0][0] ? [] : found;
}

export function Screen({ terminal, version, label }) {
  const box = useRef(null);
  const [stick, setStick] = useState(true);
  useEffect(() => { if (stick && box.current) box.current.scrollTop = box.current.scrollHeight; }, [version, stick]);
  const scrolled = () => setStick(box.current.scrollTop + box.current.clientHeight > box.current.scrollHeight - 8);
  const buffer = terminal.buffer.active;
  const lines = [];
  let end = buffer.length;
  while (end > 0 && end > buffer.baseY + buffer.cursorY + 1 && !buffer.getLine(end - 1)?.translateToString(true)) end -= 1;
  for (let y = 0; y < end; y += 1) lines.push(runs(buffer.getLine(y)));
  const cursor = buffer.baseY + buffer.cursorY;
  return html`<div class="screen" ref=${box} tabindex="0" role="group" aria-label=${label} onScroll=${scrolled}>${lines.map((line, y) => html`<div class="row" key=${y}>${line.map(([text, look, front, back], i) => (look || front || back
    ? html`<span key=${i} class=${look.split("").map((c) => `t-${c}`).join(" ")} style=${{ color: front ?? "", backgroundColor: back ?? "" }}>${text}</span>`
    : text))}${y === cursor && html`<span class="cursor" aria-hidden="true"></span>`}</div>`)}</div>`;
}
