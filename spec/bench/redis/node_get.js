// node_get.js - GETs in pipelines by npm's redis; see hiredis_get.c. PORT ROUNDS
const path = require('path');
const { createClient } = require(path.join(__dirname, '../../npm/node_modules/redis'));

const BATCH = 10000, KEYS = 100;

async function main() {
  const [port, rounds] = process.argv.slice(2).map(Number);
  const client = createClient({ socket: { host: '127.0.0.1', port } });
  await client.connect();
  const keys = [];
  for (let i = 0; i < KEYS; i++) {
    keys[i] = 'bench:' + i;
    await client.set(keys[i], 'value-of-16-byte');
  }
  const wall = process.hrtime.bigint(), cpu = process.cpuUsage();
  let bytes = 0;
  for (let round = 0; round < rounds; round++) {
    // Its way to make a pipeline: what is asked for in one turn leaves together.
    const waiting = new Array(BATCH);
    for (let i = 0; i < BATCH; i++) waiting[i] = client.get(keys[i % KEYS]);
    for (const reply of await Promise.all(waiting)) bytes += reply.length;
  }
  const n = rounds * BATCH;
  if (bytes !== n * 16) process.exit(1);
  const used = process.cpuUsage(cpu);
  const seconds = Number(process.hrtime.bigint() - wall) / 1e9;
  console.log(`npm-redis ${(n / seconds).toFixed(0)} op/s, ` +
    `${((used.user + used.system) * 1000 / n).toFixed(0)} ns CPU`);
  client.destroy();
}

main();
