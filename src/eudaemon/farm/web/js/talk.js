// Makes a recorded conversation ready to be looked at: as text, with binary folded, at a pace one can follow. Pure.

const SILENCE_MS = 1500; // what a longer silence is shortened to
const READING_MS = 120; // how long every piece of the host's output stays before the next, at reading pace
const BINARY_GAP_MAX = 24; // printable bytes between binary ones that are taken for a part of the binary
const BINARY_MIN = 4; // fewer binary bytes are left as they are

export const unpack = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

// Attackers' bytes as text: UTF-8 where it is, else one character for one byte.
export function asText(data) {
  try { return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(data)); } catch { return Array.from(data, (b) => String.fromCharCode(b)).join(""); }
}

// How many bytes from `i` on make up one character of text: 0 if the byte there is binary.
function textLength(data, i) {
  const byte = data[i];
  if ((byte >= 7 && byte <= 15) || byte === 27 || (byte >= 32 && byte < 127)) return 1; // printable, or for a terminal
  const length = byte >= 0xc2 && byte < 0xe0 ? 2 : byte >= 0xe0 && byte < 0xf0 ? 3 : byte >= 0xf0 && byte < 0xf5 ? 4 : 0;
  for (let k = 1; k < length; k += 1) if (data[i + k] === undefined || data[i + k] >> 6 !== 2) return 0;
  return length;
}

// Finds runs of binary: [[begin, end], …].
function binaryRuns(data) {
  const runs = [];
  for (let i = 0; i < data.length;) {
    const length = textLength(data, i);
    const last = runs[runs.length - 1];
    if (length) i += length;
    else {
      if (last && i - last.end <= BINARY_GAP_MAX) { last.end = i + 1; last.count += 1; } else runs.push({ begin: i, end: i + 1, count: 1 });
      i += 1;
    }
  }
  return runs.filter((run) => run.count >= BINARY_MIN).map(({ begin, end }) => [begin, end]);
}

// Whether so much of a conversation is no text that one would rather see its bytes: a tenth.
export function isBinary(pieces) {
  let [all, binary] = [0, 0];
  for (const { data } of pieces) {
    all += data.length;
    for (let i = 0, length; i < data.length; i += length || 1) if (!(length = textLength(data, i))) binary += 1;
  }
  return binary * 10 > all;
}

// Puts a note, in reverse video, in the place of every run of binary bytes. Text comes back as it was.
export function foldBinary(data) {
  const runs = binaryRuns(data);
  if (!runs.length) return data;
  const out = [];
  let end = 0;
  for (const [begin, next] of runs) {
    out.push(...data.slice(end, begin), ...new TextEncoder().encode(`\u001b[7m[${next - begin} bytes of binary]\u001b[27m`));
    end = next;
  }
  return Uint8Array.from([...out, ...data.slice(end)]);
}

// Returns a function that makes CR LF of each lone LF, piece by piece: a command without a terminal writes only that.
export function lineEnds() {
  let before = 0;
  return (data) => Uint8Array.from(Array.from(data).flatMap((byte) => {
    const lone = byte === 10 && before !== 13;
    before = byte;
    return lone ? [13, 10] : [byte];
  }));
}

// Returns when each piece is shown, in milliseconds: as it was, with silences shortened, or so slowly that one can read.
export function timesOf(pieces, { brief, reading }) {
  let [shown, before] = [0, 0];
  return pieces.map((piece) => {
    const waited = Math.max(0, piece.ms - before);
    before += waited;
    const least = reading && piece.side === "host" ? READING_MS : 0;
    shown += Math.max(least, brief ? Math.min(waited, SILENCE_MS) : waited);
    return shown;
  });
}
