// pub_node.js - npm's mqtt publishing 64 bytes: pub_node.js PORT QOS SECONDS WINDOW
const mqtt = require("../../npm/node_modules/mqtt");

const [port, qos, seconds, window] = process.argv.slice(2).map(Number);
const client = mqtt.connect({ host: "127.0.0.1", port, protocolVersion: 4 });
const payload = Buffer.alloc(64, "x");

client.on("connect", () => {
  const begin = process.hrtime.bigint(), cpu = process.cpuUsage();
  let count = 0, underWay = 0;
  const elapsed = () => Number(process.hrtime.bigint() - begin) / 1e9;
  const finish = () => {
    const used = process.cpuUsage(cpu), time = elapsed();
    console.log(`${Math.round(count / time)} msg/s, ${Math.round(
      (used.user + used.system) * 1000 / count)} ns CPU`);
    process.exit(0);
  };
  const fill = () => {
    if (elapsed() >= seconds) return finish();
    while (underWay < window) {
      underWay++;
      client.publish("bench/topi", payload, { qos }, () => {
        underWay--;
        count++;
        if (underWay < window / 2) fill();
      });
    }
  };
  fill();
});
