// Shows a recorded conversation: as the attacker's terminal showed it, or as both sides' text or bytes.
import { Dump } from "./dump.js";
import { moment, plural, SHORT_MS } from "./format.js";
import { html, useCallback, useEffect, useMemo, useRef, useState } from "./lib.js";
import { Icon, Raw } from "./parts.js";
import { foldBinary, asText, isBinary, lineEnds, timesOf, unpack } from "./talk.js";
import { telnetFilter, telnetSplitter } from "./telnet.js";
import { create, Screen } from "./terminal.js";

const SPEEDS = [0.5, 1, 2, 4, 8, 16];
const SHOWN_MAX = 400;
const MODES = [["terminal", "Terminal"], ["text", "Text"], ["bytes", "Bytes"]];

function prepare(pieces, room) {
  const forScreen = room === "telnet" ? telnetFilter() : room === "ssh" ? lineEnds() : (data) => data;
  const splitter = () => (room === "telnet" ? telnetSplitter() : (data) => [{ data }]);
  const split = { host: splitter(), attacker: splitter() };
  return pieces.map((piece) => {
    const data = unpack(piece.data);
    const raw = piece.side === "host" ? forScreen(data) : null;
    return { ms: piece.ms, side: piece.side, data, parts: split[piece.side](data), raw, folded: raw && foldBinary(raw) };
  });
}

export function Replay({ conversation, room }) {
  const pieces = useMemo(() => prepare(conversation.pieces, room), [conversation, room]);
  const [mode, setMode] = useState(() => (["telnet", "ssh"].includes(room) ? "terminal" : isBinary(pieces) ? "bytes" : "text"));
  return html`<div class="replay">
    <div class="segments" role="group" aria-label="Show as">
      ${MODES.map(([name, label]) => html`<button type="button" key=${name} aria-pressed=${mode === name} onClick=${() => setMode(name)}>${label}</button>`)}
    </div>
    ${mode === "terminal" ? html`<${Player} pieces=${pieces} />` : mode === "text" ? html`<${Both} pieces=${pieces} />` : html`<${Dump} pieces=${pieces} />`}
    ${conversation.truncated && html`<p class="note">Only the first 4 MiB of this conversation are shown.</p>`}
  </div>`;
}

function Player({ pieces }) {
  const wholeMs = pieces[pieces.length - 1]?.ms ?? 0;
  const [brief, setBrief] = useState(true);
  const [reading, setReading] = useState(wholeMs < SHORT_MS); // bots type within milliseconds
  const [asItWas, setAsItWas] = useState(false);
  const binary = useMemo(() => pieces.some((piece) => piece.folded !== piece.raw), [pieces]);
  const times = useMemo(() => timesOf(pieces, { brief, reading }), [pieces, brief, reading]);
  const end = times[times.length - 1] ?? 0;
  const [at, setAt] = useState(end);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const [version, setVersion] = useState(0);
  const terminal = useMemo(create, [pieces]);
  const written = useRef(0);

  // Brings the terminal to a moment; backwards it begins anew.
  const showAt = useCallback((ms) => {
    const upTo = times.findIndex((time) => time > ms);
    const wanted = upTo < 0 ? pieces.length : upTo;
    if (wanted < written.current) { terminal.reset(); written.current = 0; }
    const parts = pieces.slice(written.current, wanted).filter((piece) => piece.raw).map((piece) => (asItWas ? piece.raw : piece.folded));
    written.current = wanted;
    for (const part of parts) terminal.write(part);
    terminal.write("", () => setVersion((v) => v + 1));
  }, [pieces, terminal, times, asItWas]);

  useEffect(() => { setAt(end); written.current = 0; terminal.reset(); showAt(end); }, [pieces, times, asItWas]);
  useEffect(() => () => terminal.dispose(), [terminal]);
  useEffect(() => {
    if (!playing) return undefined;
    let frame = 0;
    let last = performance.now();
    let now = at >= end ? 0 : at;
    const tick = (time) => {
      now += (time - last) * speed;
      last = time;
      showAt(now);
      setAt(Math.min(now, end));
      if (now >= end) setPlaying(false);
      else frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
    return () => cancelAnimationFrame(frame);
  }, [playing, speed, showAt]);

  const seek = (ms) => { const to = Math.max(0, Math.min(end, ms)); setPlaying(false); setAt(to); showAt(to); };
  const faster = (by) => setSpeed((s) => SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(s) + by))]);
  // The clock is the session's own, however fast it is shown.
  const clock = `${moment(pieces[times.findLastIndex((time) => time <= at)]?.ms ?? 0, wholeMs)} of ${moment(wholeMs, wholeMs)}`;
  const keys = (event) => {
    if (["INPUT", "SELECT"].includes(event.target.tagName) && event.target.type !== "range") return;
    if (event.target.tagName === "BUTTON" && event.key === " ") return;
    const act = { " ": () => setPlaying(!playing), k: () => setPlaying(!playing), j: () => seek(at - 5000), l: () => seek(at + 5000), "<": () => faster(-1), ">": () => faster(1), Home: () => seek(0), End: () => seek(end) }[event.key];
    if (act) { act(); event.preventDefault(); }
  };
  return html`<div class="player" onKeyDown=${keys}>
    <${Screen} terminal=${terminal} version=${version} label="What the attacker's terminal showed" />
    <div class="controls">
      <button type="button" class="tool play" aria-label=${playing ? "Pause" : "Play"} title="Play or pause (space)" onClick=${() => setPlaying(!playing)}><${Icon} name=${playing ? "pause" : "play"} /></button>
      <input type="range" min="0" max=${Math.max(1, end)} step="10" value=${at} aria-label="Moment in the session" aria-valuetext=${clock} onInput=${(event) => seek(Number(event.target.value))} />
      <span class="moment">${clock}</span>
      <label class="inline">Speed <select value=${String(speed)} onChange=${(event) => setSpeed(Number(event.target.value))}>${SPEEDS.map((s) => html`<option key=${s} value=${String(s)}>${s}×</option>`)}</select></label>
      <label class="inline check"><input type="checkbox" checked=${brief} onChange=${(event) => setBrief(event.target.checked)} /> Shorten silences</label>
      <label class="inline check" title="Every piece of output stays long enough to be read"><input type="checkbox" checked=${reading} onChange=${(event) => setReading(event.target.checked)} /> Reading pace</label>
      ${binary && html`<label class="inline check" title="Else a note stands for bytes that are no text"><input type="checkbox" checked=${asItWas} onChange=${(event) => setAsItWas(event.target.checked)} /> Binary as it was</label>`}
    </div>
    <p class="note keys"><kbd>space</kbd> play <kbd>j</kbd> <kbd>l</kbd> 5 s back and on <kbd>${"<"}</kbd> <kbd>${">"}</kbd> speed</p>
  </div>`;
}

function Both({ pieces }) {
  const [all, setAll] = useState(false);
  const wholeMs = pieces[pieces.length - 1]?.ms ?? 0;
  const shown = all ? pieces : pieces.slice(0, SHOWN_MAX);
  if (!pieces.length) return html`<p class="note">Neither side sent anything.</p>`;
  return html`<ol class="both" aria-label="What both sides sent">${shown.map((piece, i) => html`<li key=${i} class=${piece.side}>
    <span class="who">${piece.side === "host" ? "honeypot" : "attacker"} <span class="moment">${moment(piece.ms, wholeMs)}</span></span>
    ${piece.parts.map((part, k) => (part.command ? html`<span class="chip" key=${k}>telnet: ${part.command}</span>` : html`<${Raw} key=${k} text=${asText(part.data)} block />`))}</li>`)}</ol>
    ${shown.length < pieces.length && html`<button type="button" class="button" onClick=${() => setAll(true)}>Show ${plural(pieces.length - shown.length, "more piece")}</button>`}`;
}
