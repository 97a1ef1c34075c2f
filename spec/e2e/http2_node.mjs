// http2_node.mjs - node's client of HTTP/2 against our server.
//
//   node http2_node.mjs URL [CA.pem]
//
// Ends with 0 where everything is as it should be; else with what is not, on stderr.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http2 from "node:http2";

const [url, ca] = process.argv.slice(2);
const session = http2.connect(url, ca ? { ca: readFileSync(ca) } : {});
await once(session, "remoteSettings");
assert.equal(session.remoteSettings.enableConnectProtocol, true);

async function ask(headers, body) {
  const stream = session.request(headers);
  stream.end(body);
  const [answer] = await once(stream, "response");
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return { status: answer[":status"], headers: answer, body: Buffer.concat(pieces) };
}

// Many at once, each with an answer of its own.
const answers = await Promise.all(Array.from({ length: 100 }, (_, i) =>
  ask({ ":path": `/number?n=${i}` })));
answers.forEach((answer, i) => assert.equal(answer.body.toString(), `2 ${i}`));

// More than the windows, both ways, several at once.
const large = Buffer.alloc(1 << 20, "node");
const echoes = await Promise.all([1, 2, 3, 4].map(() =>
  ask({ ":method": "POST", ":path": "/echo" }, large)));
for (const echo of echoes) assert.ok(echo.body.equals(large));

// A HEAD, something that is not there, and trailers that nobody wants.
assert.equal((await ask({ ":method": "HEAD", ":path": "/number?n=1" })).status, 200);
assert.equal((await ask({ ":path": "/nowhere" })).status, 404);
const trailing = session.request({ ":method": "POST", ":path": "/echo" }, { waitForTrailers: true });
trailing.on("wantTrailers", () => trailing.sendTrailers({ "x-sum": "1" }));
trailing.end("with trailers");
assert.equal((await trailing.setEncoding("utf8").toArray()).join(""), "with trailers");

// A request that is given up does not disturb the others.
const given_up = session.request({ ":path": "/slow" });
given_up.close(http2.constants.NGHTTP2_CANCEL);
assert.equal((await ask({ ":path": "/number?n=7" })).body.toString(), "2 7");

// WebSocket (RFC 8441): a masked message there, a plain one back.
const socket = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/ws",
  "sec-websocket-version": "13" });
assert.equal((await once(socket, "response"))[0][":status"], 200);
const text = Buffer.from("from node");
const mask = Buffer.from([5, 6, 7, 8]);
socket.write(Buffer.concat([Buffer.from([0x81, 0x80 + text.length]), mask,
  text.map((byte, i) => byte ^ mask[i % 4])]));
assert.equal((await once(socket, "data"))[0].toString("latin1"), "\x81\x10from node over 2");
socket.close();

const ended = once(session, "close");
session.close();
await ended;
