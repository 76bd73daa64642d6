// A Node.js server under V8's compilers: GET /N answers with N bytes that N determines; timers and a hot loop besides.
"use strict";
const http = require("http");
const crypto = require("crypto");

function body(n) {
  const b = Buffer.alloc(n);
  for (let i = 0; i < n; i++) b[i] = (n * 31 + i * 7 + Math.floor(i / 251)) & 255;
  return b;
}

function wrong(what) {
  require("fs").writeSync(1, `WRONG ${what}\n`);
  process.exit(1);
}

function work(kind) {
  // Shapes change, so that compiled code is thrown away and made again.
  const things = [];
  for (let i = 0; i < 300; i++) things.push(kind % 3 ? { a: i, b: 2 * i } : { b: 2 * i, c: "x", a: kind % 2 ? i : i + 0.5 });
  const sum = things.reduce((s, t) => s + t.a + t.b, 0);
  const want = 3 * 44850 + (kind % 3 === 0 && kind % 2 === 0 ? 150 : 0);
  if (sum !== want) wrong(`sum ${sum}, not ${want}, kind ${kind}`);
  try {
    null.x;
    wrong("null has a property");
  } catch (error) {
    if (!(error instanceof TypeError)) wrong(error);
  }
  if (!/^(\d+)-(\w+)$/.test("123-abc")) wrong("regular expression");
}

const want = crypto.createHash("sha256").update(body(10000)).digest("hex");
let rounds = 0;
setInterval(() => {
  for (let i = 0; i < 5; i++) work(rounds++);
  if (rounds % 50 === 0 && crypto.createHash("sha256").update(body(10000)).digest("hex") !== want) wrong("digest");
}, 2);
setInterval(() => process.stdout.write(`${rounds}\n`), 20);
const server = http.createServer((request, response) => {
  const n = parseInt(request.url.slice(1), 10);
  response.writeHead(200, { "Content-Length": n });
  response.end(body(n));
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`port ${server.address().port}\nready\n`));
process.stdin.resume();
process.stdin.on("end", () => {
  require("fs").writeSync(1, `SOUND ${rounds}\n`);
  process.exit(0);
});
