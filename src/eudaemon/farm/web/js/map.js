// The world, coloured by attacks. Pointer: drag, wheel with Ctrl, click. Keyboard: arrows, + and -, 0.
import { countryName, number, plural, short } from "./format.js";
import { html, useEffect, useMemo, useRef, useState } from "./lib.js";
import { go, path } from "./route.js";

let world = null;
const ZOOM_MAX = 12;
const SHADES = 5;

function shadeOf(count, most) {
  if (!count) return 0;
  return most <= SHADES ? Math.ceil((SHADES * count) / most) : Math.max(1, Math.ceil((SHADES * Math.log1p(count)) / Math.log1p(most)));
}

export function WorldMap({ rows }) {
  const [shape, setShape] = useState(world);
  const [view, setView] = useState({ x: 0, y: 0, zoom: 1 });
  const [over, setOver] = useState(null);
  const svg = useRef(null);
  const drag = useRef(null);
  useEffect(() => {
    if (!world) fetch("/vendor/world.json").then((a) => a.json()).then((w) => setShape((world = w)));
  }, []);
  const placed = useMemo(() => rows.filter((row) => row.country), [rows]);
  const counts = useMemo(() => new Map(placed.map((row) => [row.country, row])), [placed]);
  const most = Math.max(0, ...placed.map((row) => row.count));

  const clamp = ({ x, y, zoom }) => {
    const z = Math.min(ZOOM_MAX, Math.max(1, zoom));
    const [w, h] = [shape.width, shape.height];
    return { zoom: z, x: Math.min(w - w / z, Math.max(0, x)), y: Math.min(h - h / z, Math.max(0, y)) };
  };
  // Zooms so that the point (px, py), in parts of the view, stays where it is.
  const zoomBy = (factor, px = 0.5, py = 0.5) => setView((v) => {
    const zoom = Math.min(ZOOM_MAX, Math.max(1, v.zoom * factor));
    const grown = 1 / v.zoom - 1 / zoom;
    return clamp({ zoom, x: v.x + px * shape.width * grown, y: v.y + py * shape.height * grown });
  });
  const pan = (dx, dy) => setView((v) => clamp({ ...v, x: v.x + (dx * shape.width) / v.zoom, y: v.y + (dy * shape.height) / v.zoom }));

  useEffect(() => {
    const element = svg.current;
    if (!element) return undefined;
    const wheel = (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls on
      event.preventDefault();
      const box = element.getBoundingClientRect();
      zoomBy(event.deltaY < 0 ? 1.25 : 0.8, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, [shape]);

  if (!shape) return html`<div class="map waiting-map" aria-busy="true"></div>`;
  const keys = (event) => {
    const act = { ArrowLeft: () => pan(-0.1, 0), ArrowRight: () => pan(0.1, 0), ArrowUp: () => pan(0, -0.1), ArrowDown: () => pan(0, 0.1), "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: () => setView({ x: 0, y: 0, zoom: 1 }) }[event.key];
    if (act) { act(); event.preventDefault(); }
  };
  const down = (event) => { drag.current = { x: event.clientX, y: event.clientY, moved: false }; };
  const move = (event) => {
    setOver(event.target.dataset?.code ?? null);
    if (!drag.current || !event.buttons) return;
    const box = svg.current.getBoundingClientRect();
    const [dx, dy] = [event.clientX - drag.current.x, event.clientY - drag.current.y];
    if (!drag.current.moved && Math.hypot(dx, dy) < 4) return;
    drag.current = { x: event.clientX, y: event.clientY, moved: true };
    pan(-dx / box.width, -dy / box.height);
  };
  const click = (event) => {
    const code = event.target.dataset?.code;
    if (code && counts.has(code) && !drag.current?.moved) go(path("/sessions", { country: code }));
  };
  const box = `${view.x} ${view.y} ${shape.width / view.zoom} ${shape.height / view.zoom}`;
  const hovered = over && counts.get(over);
  const list = placed.slice(0, 5).map((row) => `${countryName(row.country)} ${number(row.count)}`).join(", ");
  return html`<div class="map">
    <svg ref=${svg} viewBox=${box} tabindex="0" role="img" aria-label=${placed.length ? `World map of attacks. Most from ${list}. Arrow keys move, plus and minus zoom, 0 shows all.` : "World map without attacks."}
      onKeyDown=${keys} onPointerDown=${down} onPointerMove=${move} onPointerLeave=${() => setOver(null)} onClick=${click} onDblClick=${() => zoomBy(2)}>
      ${Object.entries(shape.countries).map(([code, d]) => html`<path key=${code} d=${d} data-code=${code} class=${`land s${shadeOf(counts.get(code)?.count, most)}${code === over ? " over" : ""}`} />`)}
      ${Object.entries(shape.dots).map(([code, [x, y]]) => counts.has(code) && html`<circle key=${code} cx=${x} cy=${y} r=${48 / Math.sqrt(view.zoom)} data-code=${code} class=${`land dot s${shadeOf(counts.get(code).count, most)}`} />`)}
    </svg>
    <div class="map-tools">
      <button type="button" class="tool" aria-label="Zoom in" title="Zoom in (+)" onClick=${() => zoomBy(1.6)}>+</button>
      <button type="button" class="tool" aria-label="Zoom out" title="Zoom out (−)" onClick=${() => zoomBy(1 / 1.6)} disabled=${view.zoom === 1}>−</button>
    </div>
    <p class="reading" aria-hidden="true">${over
      ? html`<b>${countryName(over)}</b> ${hovered ? html`${plural(hovered.count, "attack")} from ${plural(hovered.attackers, "address", "addresses")}` : "no attacks"}`
      : html`<span class="legend">fewer ${[1, 2, 3, 4, 5].map((s) => html`<span class=${`swatch s${s}`} key=${s}></span>`)} more</span> <span class="legend-most">most: ${short(most)}</span>`}</p>
  </div>`;
}
