// ws_peer.js server | client URL - the npm package ws at one end of a WebSocket, for spec/e2e.
//
// server: listens, prints its port, echoes; takes "close" as the wish to be closed with 4001.
// client: runs through cases against an echo server, and prints a line for each: "ok NAME" or
//         "not ok NAME: WHY".
'use strict';
const { WebSocket, WebSocketServer } = require('ws');

const contexts = {
  none: false,
  'no context': { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 },
  context: { threshold: 0 },
  'small windows': { serverMaxWindowBits: 9, clientMaxWindowBits: 9, threshold: 0 },
};

function serve() {
  const server = new WebSocketServer({
    port: 0, host: '127.0.0.1', perMessageDeflate: contexts[process.argv[3] || 'none'],
    handleProtocols: (protocols) => (protocols.has('chat') ? 'chat' : false),
  }, () => console.log(server.address().port));
  server.on('connection', (socket, request) => {
    socket.on('error', () => {});
    if (request.url === '/ping') socket.ping('are you there');
    socket.on('pong', (data) => socket.send('pong ' + data));
    socket.on('message', (data, isBinary) => {
      if (String(data) === 'close') socket.close(4001, 'as you wish');
      else if (String(data) === 'cut') socket.terminate();
      else socket.send(data, { binary: isBinary, fin: true });
    });
  });
}

function once(emitter, name) {
  return new Promise((resolve, reject) => {
    emitter.once(name, (...args) => resolve(args));
    emitter.once('error', reject);
  });
}

async function open(url, options, protocols = []) {
  const socket = new WebSocket(url, protocols, options);
  await once(socket, 'open');
  return socket;
}

async function echo(socket, data, binary) {
  socket.send(data, { binary });
  const [answer, isBinary] = await once(socket, 'message');
  if (isBinary !== binary) throw new Error('another kind');
  if (Buffer.compare(Buffer.from(answer), Buffer.from(data)) !== 0) throw new Error('other bytes');
}

async function closed(socket) {
  const [code, reason] = await once(socket, 'close');
  return code + ' ' + reason;
}

function same(got, wanted) {
  if (got !== wanted) throw new Error(`${got} instead of ${wanted}`);
}

const cases = {
  async 'every length'(url, options) {
    const socket = await open(url, options);
    for (const length of [0, 1, 125, 126, 127, 1000, 65535, 65536, 70000, 1000000]) {
      await echo(socket, 'é'.repeat(length / 2), false);
      await echo(socket, Buffer.alloc(length, 'ab\0'), true);
    }
    socket.close();
    await closed(socket);
  },
  async 'fragments with a ping between'(url, options) {
    const socket = await open(url, options);
    const pong = once(socket, 'pong');
    const answer = once(socket, 'message');
    socket.send('one ', { fin: false });
    socket.ping('p');
    socket.send('two ', { fin: false });
    socket.send('three', { fin: true });
    same(String((await pong)[0]), 'p');
    same(String((await answer)[0]), 'one two three');
    socket.terminate();
  },
  async 'a hundred messages at once'(url, options) {
    const socket = await open(url, options);
    let next = 0;
    const all = new Promise((resolve, reject) => {
      socket.on('message', (data) => {
        if (String(data) !== 'message ' + next++) reject(new Error('out of order: ' + data));
        if (next === 100) resolve();
      });
    });
    for (let i = 0; i < 100; i++) socket.send('message ' + i);
    await all;
    socket.close(3000, 'done');
    same(await closed(socket), '3000 done');
  },
  async 'a close without a code'(url, options) {
    const socket = await open(url, options);
    socket.close();
    same(await closed(socket), '1005 ');
  },
  async 'text that is no UTF-8'(url, options) {
    const socket = await open(url, options);
    socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
    same(await closed(socket), '1007 ');
  },
  async 'a message that is too long'(url, options) {
    const socket = await open(url, options);
    socket.on('error', () => {});
    socket.send(Buffer.alloc(3000000));
    same(await closed(socket), '1009 ');
  },
};

async function run(url) {
  for (const [context, perMessageDeflate] of Object.entries(contexts)) {
    for (const [name, test] of Object.entries(cases)) {
      const title = `${name}, deflate: ${context}`;
      try {
        await test(url, { perMessageDeflate });
        console.log('ok ' + title);
      } catch (error) {
        console.log(`not ok ${title}: ${error.message}`);
      }
    }
  }
}

if (process.argv[2] === 'server') serve();
else run(process.argv[3]).then(() => process.exit(0));
