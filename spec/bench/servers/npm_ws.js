// npm_ws.js PORT - WebSocket echo by the npm package ws.
const path = require('path');
const { WebSocketServer } = require(path.join(__dirname, '../../npm/node_modules/ws'));

const server = new WebSocketServer({ port: Number(process.argv[2]), host: '127.0.0.1', perMessageDeflate: false });
server.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
