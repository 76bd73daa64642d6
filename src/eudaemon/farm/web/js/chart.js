// Attacks over time: bars in SVG that take their colours from the theme. Arrow keys walk along it, Enter opens a bar.
import { exactly, number, plural, short } from "./format.js";
import { html, useEffect, useMemo, useRef, useState } from "./lib.js";
import { go, path } from "./route.js";

const HEIGHT = 168;
const BOTTOM = 22;
const iso = (seconds) => new Date(seconds * 1000).toISOString();

function fill(timeline) {
  const size = timeline.bucket_s;
  const known = new Map(timeline.buckets.map((b) => [b.at_s, b]));
  const end = Date.parse(timeline.until) / 1000;
  let begin = Date.parse(timeline.since) / 1000;
  const first = timeline.buckets[0]?.at_s ?? end - size;
  if ((end - begin) / size > 400) begin = Math.max(begin, first - size); // "all time" begins with the first attack
  const bars = [];
  for (let at = Math.floor(begin / size) * size; at < end && bars.length < 2000; at += size) bars.push(known.get(at) ?? { at_s: at, attacks: 0, with_sample: 0, logins: 0 });
  return bars;
}

function niceTop(value) {
  if (value <= 4) return 4;
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 6, 8, 10].map((m) => m * step).find((top) => top >= value && top % 2 === 0) ?? 10 * step;
}

function tickLabel(seconds, size) {
  const at = new Date(seconds * 1000);
  return size < 10_800
    ? at.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
    : at.toLocaleDateString("en", { day: "numeric", month: "short" });
}

export function Timeline({ timeline }) {
  const box = useRef(null);
  const [width, setWidth] = useState(800);
  const [at, setAt] = useState(null);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.max(240, entry.contentRect.width)));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const bars = useMemo(() => fill(timeline), [timeline]);
  const top = niceTop(Math.max(...bars.map((b) => b.attacks), 1));
  const left = 8 + 7 * short(top).length;
  const step = (width - left) / Math.max(1, bars.length);
  const y = (value) => 8 + (HEIGHT - BOTTOM - 8) * (1 - value / top);
  const size = timeline.bucket_s;
  const chosen = at == null ? null : bars[Math.min(at, bars.length - 1)];
  const words = (b) => `${exactly(iso(b.at_s))}: ${plural(b.attacks, "attack")}, ${number(b.with_sample)} of them with a sample, ${plural(b.logins, "login")}`;
  const open = (b) => go(path("/sessions", { since: iso(b.at_s), until: iso(b.at_s + size) }));
  const keys = (event) => {
    const from = at ?? bars.length;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: bars.length - 1 }[event.key];
    if (to !== undefined) { setAt(Math.max(0, Math.min(bars.length - 1, to))); event.preventDefault(); }
    if (event.key === "Enter" && chosen) open(chosen);
    if (event.key === "Escape") setAt(null);
  };
  const point = (event) => {
    const x = event.clientX - box.current.getBoundingClientRect().left - left;
    setAt(x < 0 ? null : Math.min(bars.length - 1, Math.floor(x / step)));
  };
  const every = Math.max(1, Math.ceil(bars.length / Math.max(2, Math.floor(width / 90))));
  const total = bars.reduce((sum, b) => sum + b.attacks, 0);
  return html`<div class="timeline" ref=${box}>
    <svg width=${width} height=${HEIGHT} viewBox=${`0 0 ${width} ${HEIGHT}`} tabindex="0" role="slider"
      aria-label=${`Attacks over time, ${plural(total, "attack")}. Arrow keys move, Enter opens the sessions.`}
      aria-valuemin="0" aria-valuemax=${bars.length - 1} aria-valuenow=${at ?? bars.length - 1} aria-valuetext=${words(chosen ?? bars[bars.length - 1])}
      onKeyDown=${keys} onPointerMove=${point} onPointerLeave=${() => setAt(null)} onClick=${() => chosen && open(chosen)}>
      ${[0, 0.5, 1].map((part) => html`<g class="grid" key=${part}><line x1=${left} x2=${width} y1=${y(top * part)} y2=${y(top * part)} /><text x=${left - 6} y=${y(top * part) + 4} text-anchor="end">${short(top * part)}</text></g>`)}
      ${bars.map((b, i) => html`<g key=${b.at_s} class=${b === chosen ? "column on" : "column"}>
        <rect class="attacks" x=${left + i * step + Math.min(1, step / 8)} width=${Math.max(1, step - Math.min(2, step / 4))} y=${y(b.attacks)} height=${Math.max(0, y(0) - y(b.attacks))} rx=${Math.min(2, step / 5)} />
        ${b.with_sample > 0 && html`<rect class="captures" x=${left + i * step + Math.min(1, step / 8)} width=${Math.max(1, step - Math.min(2, step / 4))} y=${y(b.with_sample)} height=${Math.max(1.5, y(0) - y(b.with_sample))} rx=${Math.min(2, step / 5)} />`}
        ${i % every === 0 && left + i * step < width - 36 && html`<text class="tick" x=${left + i * step} y=${HEIGHT - 5}>${tickLabel(b.at_s, size)}</text>`}</g>`)}
    </svg>
    <p class="reading" aria-hidden="true">${chosen
      ? html`<time>${exactly(iso(chosen.at_s))}</time> <b>${number(chosen.attacks)}</b> attacks, <b>${number(chosen.with_sample)}</b> of them brought a sample, <b>${number(chosen.logins)}</b> logins`
      : html`<span class="key attacks"></span> attacks <span class="key captures"></span> of them brought a sample`}</p>
  </div>`;
}
