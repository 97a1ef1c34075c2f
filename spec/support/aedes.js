// aedes.js - npm's aedes as a broker, for TCP and for WebSockets, and npm's mqtt as a client of it: the
// client sends each message of "there/#" back as "back/#", with the QoS it had, but at most 1: of two
// that go both ways in QoS 2, aedes loses some. Prints the ports.
const { createServer } = require("net");
const http = require("http");
const root = __dirname + "/../npm/node_modules/";
const aedes = require(root + "aedes")();
const mqtt = require(root + "mqtt");
const ws = require(root + "ws");

const tcp = createServer(aedes.handle);
const web = http.createServer();
const sockets = new ws.WebSocketServer({ server: web, handleProtocols: () => "mqtt" });
sockets.on("connection", (socket, request) =>
  aedes.handle(ws.createWebSocketStream(socket), request));

tcp.listen(0, "127.0.0.1", () => web.listen(0, "127.0.0.1", () => {
  const port = tcp.address().port;
  const client = mqtt.connect({ host: "127.0.0.1", port, protocolVersion: 4 });
  client.subscribe("there/#", { qos: 2 }, () => {
    console.log(`listening on 127.0.0.1:${port}, ws://127.0.0.1:${web.address().port}`);
  });
  client.on("message", (topic, payload, packet) => {
    const qos = Math.min(packet.qos, 1);
    client.publish(topic.replace("there", "back"), payload, { qos });
  });
}));
process.stdin.on("end", () => process.exit(0)).resume();
