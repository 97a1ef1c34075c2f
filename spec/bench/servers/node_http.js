// node node_http.js PORT [TLSPORT CERT KEY]
const http = require('http'), https = require('https'), fs = require('fs');
const f = (q, r) => {
  if (q.url.startsWith('/users/')) {
    const u = new URL(q.url, 'http://x');
    const body = JSON.stringify({ id: u.pathname.slice(7), verbose: u.searchParams.get('verbose'),
      agent: q.headers['user-agent'], trace: q.headers['x-trace'] });
    r.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    r.end(body);
    return;
  }
  r.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 13 }); r.end('Hello, World!'); };
const s = http.createServer(f); s.keepAliveTimeout = 600000; s.listen({ port: +process.argv[2], host: '127.0.0.1', backlog: 4096 });
if (process.argv[3]) {
  const t = https.createServer({ cert: fs.readFileSync(process.argv[4]), key: fs.readFileSync(process.argv[5]) }, f);
  t.keepAliveTimeout = 600000; t.listen({ port: +process.argv[3], host: '127.0.0.1', backlog: 4096 });
}
