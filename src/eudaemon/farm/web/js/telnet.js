// Telnet's own commands within a stream of bytes (RFC 854, 855): told apart from what is for the screen. Pure.

const [IAC, SB, SE, WILL, DONT] = [255, 250, 240, 251, 254];
const COMMANDS = new Map([
  [240, "SE"], [241, "NOP"], [242, "DATA MARK"], [243, "BREAK"], [244, "INTERRUPT"], [245, "ABORT OUTPUT"], [246, "ARE YOU THERE"], [247, "ERASE CHARACTER"],
  [248, "ERASE LINE"], [249, "GO AHEAD"], [250, "SB"], [251, "WILL"], [252, "WONT"], [253, "DO"], [254, "DONT"],
]);
// From IANA's register "Telnet Options", those that are met.
const OPTIONS = new Map([
  [0, "BINARY"], [1, "ECHO"], [3, "SUPPRESS GO AHEAD"], [5, "STATUS"], [6, "TIMING MARK"], [24, "TERMINAL TYPE"], [31, "WINDOW SIZE"], [32, "TERMINAL SPEED"],
  [33, "FLOW CONTROL"], [34, "LINEMODE"], [35, "X DISPLAY"], [36, "ENVIRONMENT"], [37, "AUTHENTICATION"], [38, "ENCRYPT"], [39, "NEW ENVIRONMENT"],
]);
const SUB_BYTES_SHOWN_MAX = 32;

// Returns a function that splits what it is given, piece by piece, into [{ data: [bytes] } | { command: "DO ECHO" }, …].
export function telnetSplitter() {
  let state = "text"; // text, command (after IAC), option (one more byte), sub (until IAC SE), sub-command
  let verb = 0;
  let sub = [];
  return (data) => {
    const parts = [];
    const say = (command) => parts.push({ command });
    const show = (byte) => {
      const last = parts[parts.length - 1];
      if (last?.data) last.data.push(byte);
      else parts.push({ data: [byte] });
    };
    for (const byte of data) {
      if (state === "text") {
        if (byte === IAC) state = "command";
        else show(byte);
      } else if (state === "command") {
        state = byte === SB ? "sub" : byte >= WILL && byte <= DONT ? "option" : "text";
        if (byte === IAC) show(byte);
        else if (state === "text") say(COMMANDS.get(byte) ?? String(byte));
        [verb, sub] = [byte, []];
      } else if (state === "option") {
        state = "text";
        say(`${COMMANDS.get(verb)} ${OPTIONS.get(byte) ?? byte}`);
      } else if (state === "sub") {
        if (byte === IAC) state = "sub-command";
        else if (sub.length <= SUB_BYTES_SHOWN_MAX) sub.push(byte);
      } else if (byte === SE) {
        state = "text";
        say(["SB", OPTIONS.get(sub[0]) ?? sub[0] ?? "", ...sub.slice(1, SUB_BYTES_SHOWN_MAX)].join(" "));
      } else state = "sub";
    }
    return parts;
  };
}

// Returns a function that leaves of what it is given, piece by piece, only what is for the screen.
export function telnetFilter() {
  const split = telnetSplitter();
  return (data) => Uint8Array.from(split(data).flatMap((part) => part.data ?? []));
}
