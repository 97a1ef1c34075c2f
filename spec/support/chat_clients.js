// chat_clients.js - clients of examples/chat_cluster.lua, by npm's ws: as many as told, in rooms, all
// talking, each noting what it hears. PORT CLIENTS ROOMS
//
// Commands come on stdin, a line each; answers go to stdout, a line of JSON each:
//   status   { open, heard, said, hosts: { name: clients } }
//   stop     stops talking, and waits until everybody has heard everything:
//            { messages, lost, doubled, disordered, reconnected: { host: clients }, foreign, refused }
// `foreign` are clients that have lost their connection to a host that was not announced by
// "killing NAME".
'use strict';
const path = require('path');
const readline = require('readline');
const WebSocket = require(path.join(__dirname, '../npm/node_modules/ws'));

const [port, clientCount, roomCount] = process.argv.slice(2).map(Number);
const killed = new Set();
const clients = [];
let talking = true, said = 0, refused = 0, foreign = 0;
const reconnected = {};
const pending = new Map(); // ref -> when it was said, until it has come back

class Client {
  constructor(number) {
    this.name = 'c' + number;
    this.room = 'r' + number % roomCount;
    this.heard = [];
    this.host = null;
    this.open();
  }

  open() {
    const after = this.heard.length ? '&after=' + this.heard[this.heard.length - 1] :
      this.since ? '&after=' + this.since : '&after=0-0';
    const socket = new WebSocket(
      `ws://127.0.0.1:${port}/chat/${this.room}?name=${this.name}${after}`, {
        perMessageDeflate: false, handshakeTimeout: 20000 });
    this.socket = socket;
    socket.on('message', (data) => this.hear(JSON.parse(data)));
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.host !== null) {
        if (!killed.has(this.host)) foreign++;
        reconnected[this.host] = (reconnected[this.host] || 0) + 1;
      }
      this.host = null;
      if (!this.isOver) setTimeout(() => this.open(), 20 + Math.random() * 100);
    });
  }

  hear(message) {
    if (message.hello) {
      this.host = message.host;
    } else if (message.error) {
      refused++;
      pending.delete(message.ref);
    } else {
      this.heard.push(message.id);
      if (message.from === this.name) pending.delete(message.ref);
    }
  }

  say() {
    if (this.host === null || this.socket.readyState !== WebSocket.OPEN) return;
    const ref = `${this.name}:${said++}`;
    pending.set(ref, this.host);
    this.socket.send(JSON.stringify({ text: 'from ' + this.name, ref }));
  }
}

for (let i = 0; i < clientCount; i++) clients.push(new Client(i));

// One client after the other says something, so many a turn that the machine keeps up.
let turn = 0;
const talk = setInterval(() => {
  if (!talking) return;
  for (let i = 0; i < 5; i++) clients[turn++ % clientCount].say();
}, 10);

function status() {
  const hosts = {};
  for (const c of clients) if (c.host !== null) hosts[c.host] = (hosts[c.host] || 0) + 1;
  return { open: clients.filter((c) => c.host !== null).length, said, hosts,
    heard: clients.reduce((sum, c) => sum + c.heard.length, 0) };
}

const number = (id) => id.split('-').map(Number);
const isLater = (a, b) => {
  const [ams, an] = number(a), [bms, bn] = number(b);
  return ams > bms || ams === bms && an > bn;
};

// What was said on the host that died may never have reached Redis: nobody waits for it.
const isWaitedFor = () => [...pending.values()].some((host) => !killed.has(host));

// Everybody has heard the same, and nothing is on the way.
function isQuiet() {
  const last = {};
  for (const c of clients) {
    if (c.host === null) return false;
    const id = c.heard[c.heard.length - 1] || '';
    if (last[c.room] === undefined) last[c.room] = id;
    if (last[c.room] !== id) return false;
  }
  return !isWaitedFor();
}

function judge() {
  const rooms = {};
  for (const c of clients) {
    rooms[c.room] = rooms[c.room] || new Set();
    for (const id of c.heard) rooms[c.room].add(id);
  }
  const result = { messages: 0, lost: 0, doubled: 0, disordered: 0, reconnected, foreign, refused };
  for (const room of Object.values(rooms)) result.messages += room.size;
  for (const c of clients) {
    const own = new Set(c.heard);
    result.doubled += c.heard.length - own.size;
    result.lost += rooms[c.room].size - own.size;
    for (let i = 1; i < c.heard.length; i++) {
      if (!isLater(c.heard[i], c.heard[i - 1])) result.disordered++;
    }
  }
  return result;
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, name] = line.split(' ');
  if (command === 'status') {
    console.log(JSON.stringify(status()));
  } else if (command === 'killing') {
    killed.add(name);
    console.log(JSON.stringify(status()));
  } else if (command === 'stop') {
    talking = false;
    clearInterval(talk);
    const deadline = Date.now() + 60000;
    const poll = setInterval(() => {
      if (!isQuiet() && Date.now() < deadline) return;
      clearInterval(poll);
      console.log(JSON.stringify(Object.assign(judge(), { quiet: isQuiet() })));
      for (const c of clients) {
        c.isOver = true;
        c.socket.terminate();
      }
      process.exit(0);
    }, 20);
  }
});
