// http2_chromium.mjs - a browser against our server of HTTP/2: fetches at once, an upload, events and
// a WebSocket, all of them over one connection.
//
//   node http2_chromium.mjs URL
import assert from "node:assert/strict";
import { chromium } from "../npm/node_modules/playwright-core/index.mjs";

const [url] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--ignore-certificate-errors"],
});
const page = await browser.newPage({ ignoreHTTPSErrors: true });
page.setDefaultTimeout(60000);
await page.goto(url);

const seen = await page.evaluate(async () => {
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) =>
    fetch(`/number?n=${i}`).then((answer) => answer.text())));
  const body = new Uint8Array(2 << 20).fill(7);
  const echo = new Uint8Array(await (await fetch("/echo", { method: "POST", body })).arrayBuffer());
  const events = await new Promise((resolve, reject) => {
    const source = new EventSource("/events");
    const got = [];
    source.onmessage = (event) => {
      got.push(event.data);
      if (got.length === 3) { source.close(); resolve(got); }
    };
    source.onerror = () => reject(new Error("no events"));
  });
  const message = await new Promise((resolve, reject) => {
    const socket = new WebSocket(`wss://${location.host}/ws`);
    socket.onopen = () => socket.send("from chromium");
    socket.onmessage = (event) => { socket.close(); resolve(event.data); };
    socket.onerror = () => reject(new Error("no WebSocket"));
  });
  const protocols = new Set(performance.getEntriesByType("resource")
    .filter((entry) => entry.name.includes("/number")).map((entry) => entry.nextHopProtocol));
  return { answers, same: echo.length === body.length && echo.every((byte) => byte === 7), events,
    message, protocols: [...protocols] };
});

seen.answers.forEach((answer, i) => assert.equal(answer, `2 ${i}`));
assert.ok(seen.same);
assert.deepEqual(seen.events, ["1", "2", "3"]);
assert.equal(seen.message, "from chromium over 2");
assert.deepEqual(seen.protocols, ["h2"]);
await browser.close();
