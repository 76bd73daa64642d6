// How things are said: times, numbers, sizes, countries, and attackers' text made visible. Pure functions.

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const regions = new Intl.DisplayNames(["en"], { type: "region", fallback: "none" });

const STEPS = [["year", 31_536_000], ["month", 2_592_000], ["week", 604_800], ["day", 86_400], ["hour", 3600], ["minute", 60]];

export function ago(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (Math.abs(seconds) < 10) return "just now";
  for (const [unit, size] of STEPS) if (Math.abs(seconds) >= size) return relative.format(-Math.floor(seconds / size), unit);
  return relative.format(-Math.floor(seconds), "second");
}

// The zone that all times on the page are in, such as "Europe/Berlin, UTC+1".
export function zone() {
  const name = exact.resolvedOptions().timeZone;
  const offset = new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" }).formatToParts().find((part) => part.type === "timeZoneName").value.replace("GMT", "UTC");
  return name === "UTC" ? name : `${name}, ${offset}`;
}

export const exactly = (time) => exact.format(new Date(time));
export const clockTime = (time) => clock.format(new Date(time));
export const number = (value) => whole.format(value);
export const short = (value) => (value < 10_000 ? whole.format(value) : compact.format(value));
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  const step = Math.min(4, Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** step;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

// A moment within a session that lasted `wholeMs`: milliseconds while those tell moments apart.
export const SHORT_MS = 5000;
export const moment = (ms, wholeMs) => (wholeMs < SHORT_MS ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

export function span(seconds) {
  if (seconds == null) return "";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.round((seconds % 86_400) / 3600)} h`;
}

export const NOWHERE = "private or unknown"; // an address that no registry places

export function countryName(code) {
  if (!code) return NOWHERE;
  try { return regions.of(code) ?? code; } catch { return code; }
}

// Characters that would steer a terminal or turn the reading direction, or that nobody can see.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]|\p{Cs}/gu;
const NAMED = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u001b": "\\e", "\0": "\\0" };

// Splits text into [visible, escape, visible, escape, …].
export function visibly(text) {
  const parts = [];
  let end = 0;
  for (const match of String(text).matchAll(UNSEEN)) {
    const code = match[0].codePointAt(0);
    const shown = NAMED[match[0]] ?? (code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`);
    parts.push(text.slice(end, match.index), shown);
    end = match.index + match[0].length;
  }
  parts.push(String(text).slice(end));
  return parts;
}

// Bytes in hexadecimal as text if all of them are printable, else as they are.
export function unhexed(head = "") {
  const data = /^([0-9a-f]{2})+$/.test(head) ? head.match(/../g).map((pair) => parseInt(pair, 16)) : [];
  const readable = data.length > 0 && data.every((byte) => (byte >= 32 && byte < 127) || (byte >= 9 && byte <= 13));
  return readable ? String.fromCharCode(...data) : head;
}

const ENDINGS = new Map([
  ["peer", "the attacker hung up"], ["room", "the honeypot ended it"], ["idle", "nothing came any more"], ["time", "it lasted too long"],
  ["bytes", "it sent too much"], ["peer fault", "the attacker broke the protocol"], ["our fault", "a fault of ours"], ["reset", "the attacker reset the connection"],
  ["stop", "the sensor was stopped"],
]);
export const ending = (reason) => ENDINGS.get(reason) ?? String(reason);

const HIJACKS = new Map([
  ["return", "a return address"], ["jump", "a jump"], ["call", "a call"], ["code", "injected code"], ["execute", "the program to execute"],
  ["call number", "a system call's number"], ["rights", "memory made executable"], ["format", "a format string"], ["store", "an address written to"],
]);
const VERDICTS = new Map([["observe", "it was let"], ["contain", "the thread was ended first"], ["kill", "the process was ended first"], ["release", "the thread was ended first, the process let go"]]);
const SHELLS = new Map([["bind", "listens for its sender"], ["connect", "calls its sender back"], ["here", "gives its sender a shell on the same connection"]]);
const shellWay = (way) => SHELLS.get(way) ?? String(way);
const hijack = (how) => HIJACKS.get(how) ?? String(how);
const verdict = (name) => VERDICTS.get(name) ?? String(name);

// What a fact says, in a few words: [what happened, what the attacker wrote, tone].
export function says(kind, f = {}) {
  switch (kind) {
    case "session.opened": return [f.follows ? `has the shell of its own shellcode (${f.room})` : `connected to ${f.room} over ${f.transport}`, "", f.follows ? "hot" : ""];
    case "session.closed": return [`ended after ${span(f.duration_s)}: ${ending(f.reason)}; ${bytes(f.bytes_in ?? 0)} in, ${bytes(f.bytes_out ?? 0)} out`, "", ""];
    case "login.tried": return [f.accepted ? "logged in as" : "tried", `${f.user} / ${f.password ?? "(unknown)"}`, f.accepted ? "hot" : ""];
    case "rdp.client": return ["spoke Remote Desktop as", `${f.name}${f.cookie ? ` (${f.cookie})` : ""}`, ""];
    case "login.answered": return [`answered the challenge of a login (${f.scheme})${f.user ? ` as ${f.user}` : ""}:`, f.response, ""];
    case "command.entered": return ["entered", f.line, ""];
    case "ssh.client": return ["spoke SSH with", `${f.version}`, ""];
    case "ssh.key": return [`offered a public key for ${f.user}:`, f.fingerprint, ""];
    case "ssh.forwarding": return [`wanted a connection elsewhere (${f.direction}), refused:`, `${f.host}:${f.port}`, ""];
    case "proxy.asked": return [`wanted to be relayed (${f.protocol} ${f.action}), and was not:`, `${f.host}:${f.port}`, ""];
    case "mail.received": return [`gave a message${f.relayed ? " for elsewhere" : ""} from ${f.sender || "nobody"} to ${f.recipients?.[0] || "nobody"}${f.recipients_total > 1 ? ` and ${f.recipients_total - 1} more` : ""}:`, f.subject || "(no subject)", ""];
    case "ntlm.response": return [f.response ? "answered a challenge as" : "asked for a session without a name", `${f.domain ? `${f.domain}\\` : ""}${f.user}${f.workstation ? ` from ${f.workstation}` : ""}`, ""];
    case "smb.client": return ["spoke SMB:", [f.dialects?.join(", "), f.system, f.software].filter(Boolean).join("; "), ""];
    case "rpc.bound": return [`asked over ${f.endpoint} for`, f.name || f.interface, ""];
    case "rpc.called": return [`called over ${f.endpoint}, with ${bytes(f.stub_bytes ?? 0)},`, `${f.interface} ${f.operation || f.number}`, ""];
    case "file.requested": return [`${f.done === false ? "could not " : ""}${f.action}${f.detail ? ` (${f.detail})` : ""}`, f.path, ""];
    case "http.request": return ["requested", `${f.method} ${f.target}`, ""];
    case "exploit.recognised": return [`used ${f.name}${f.reference ? ` (${f.reference})` : ""}`, f.command, "hot"];
    case "control.hijacked": return [`took control of ${f.process} (${hijack(f.how)}); ${verdict(f.verdict)}`, f.instruction, "hot"];
    case "payload.classified": return [f.guess === "unknown" ? "sent unknown bytes" : `sent what looks like ${f.guess}`, unhexed(f.head), ""];
    case "shell.offered": return [`sent a shellcode for ${f.system} that ${shellWay(f.way)}${f.refused ? `; refused (${f.refused})` : ""}`, f.port ? `${f.host}:${f.port}` : "", "hot"];
    case "artefact.kept": if (f.origin === "payload") return [`raw payload kept, ${bytes(f.size ?? 0)}`, "", ""];
      return [`brought a sample, ${bytes(f.size ?? 0)}`, f.name || f.sha256?.slice(0, 16), "hot"];
    case "download.wished": return [`wanted (${f.tool})`, f.url, ""];
    case "download.finished": return [f.outcome === "ok" ? `fetched ${bytes(f.size ?? 0)} from` : `could not fetch (${f.reason || f.outcome})`, f.url, ""];
    case "sample.identified": return ["sample identified:", f.description, ""];
    case "sample.judged": return [f.outcome === "known" ? `sample known to ${f.by}${f.engines ? `, ${f.positives} of ${f.engines} engines` : ""}:` : `sample ${f.outcome === "submitted" ? "handed over" : "unknown"} to ${f.by}`, f.label, ""];
    case "peer.faulted": return ["broke the protocol:", f.reason, "warn"];
    case "tls.accepted": return [`spoke ${f.version}`, f.server_name || f.ja4, ""];
    case "sensor.started": return [`sensor started, version ${f.version}`, "", ""];
    case "sensor.stopped": return [`sensor stopped after ${span(f.uptime_s)}`, "", ""];
    case "sensor.faulted": return ["a fault of ours:", f.error, "warn"];
    case "capture.stopped": return ["capture stopped:", f.reason, "warn"];
    case "capture.resumed": return [`capture resumed, ${plural(f.missed ?? 0, "artefact")} missed`, "", ""];
    case "spool.dropped": return [`spool full: ${plural(f.events ?? 0, "event")} dropped`, "", "warn"];
    case "session.refused": return [`${plural(f.count ?? 0, "connection")} refused (${f.limit})`, "", "warn"];
    case "feed.missed": return [`${plural(f.events ?? 0, "event")} went by too fast to show`, "", "warn"];
    default: return [kind, JSON.stringify(f), ""];
  }
}
