// http_trailers.mjs - node as the peer of our trailers, both versions and both sides.
//
//   node http_trailers.mjs client URL    asks our server: prints what it says
//   node http_trailers.mjs server        serves; prints its two ports, ends with its input
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";

const sum = { "x-sum": "abc", "x-other": "1" };

async function askFirst(url) {
  const req = http.request(url, { method: "POST", headers: { Trailer: "x-sum" } });
  req.write("body");
  req.addTrailers(sum);
  req.end();
  const [res] = await once(req, "response");
  let body = "";
  for await (const piece of res) body += piece;
  return { body, trailers: res.trailers };
}

async function askSecond(url) {
  const session = http2.connect(url);
  const stream = session.request({ ":method": "POST" }, { waitForTrailers: true });
  let trailers = {};
  stream.on("wantTrailers", () => stream.sendTrailers(sum));
  stream.on("trailers", (fields) => { trailers = fields; });
  stream.end("body");
  let body = "";
  for await (const piece of stream) body += piece;
  session.close();
  return { body, trailers };
}

async function client(url) {
  const answers = [await askFirst(url), await askSecond(url)];
  console.log(JSON.stringify(answers.map(({ body, trailers }) =>
    ({ body, trailers: Object.fromEntries(Object.entries(trailers)) }))));
}

// Echoes the body, and the trailers of the request as those of the answer.
async function echo(req, res) {
  let body = "";
  for await (const piece of req) body += piece;
  if (req.httpVersion === "1.1") res.setHeader("Trailer", "x-sum");
  res.write(body);
  res.addTrailers({ ...req.trailers, "x-te": String(req.headers.te) });
  res.end();
}

async function server() {
  const servers = [http.createServer(echo), http2.createServer(echo)];
  for (const one of servers) await once(one.listen(0, "127.0.0.1"), "listening");
  console.log(servers.map((one) => one.address().port).join(" "));
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}

await (process.argv[2] === "client" ? client(process.argv[3]) : server());
