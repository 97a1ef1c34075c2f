// http2_server.js CERT KEY - node's servers of HTTP/2 for spec/e2e/http2_peers_spec.lua: over TLS, with
// HTTP/1.1 as the other choice, and in the clear. Prints their two ports; ends with its input.
'use strict'
const fs = require('fs')
const http2 = require('http2')

let refused = 0

const routes = {
  // The body comes back as it comes.
  '/echo' (stream) {
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  },
  '/big' (stream, query) {
    stream.respond({ ':status': 200 })
    let left = Number(query)
    const more = () => {
      while (left > 0) {
        const piece = Buffer.alloc(Math.min(left, 50000), 'b')
        left -= piece.length
        if (!stream.write(piece)) return stream.once('drain', more)
      }
      stream.end()
    }
    more()
  },
  '/slow' (stream) {
    stream.respond({ ':status': 200 })
    let count = 0
    const timer = setInterval(() => {
      stream.write('piece ' + ++count + '\n')
      if (count === 5) { clearInterval(timer); stream.end() }
    }, 2)
  },
  '/interim' (stream, query, headers, res) {
    stream.additionalHeaders({ ':status': 103, link: '</x>' })
    res.addTrailers({ 'x-late': '1' })
    res.end('after 103')
  },
  '/expect' (stream) {
    stream.additionalHeaders({ ':status': 100 })
    let bytes = 0
    stream.on('data', (piece) => { bytes += piece.length })
    stream.on('end', () => { stream.respond({ ':status': 200 }); stream.end(String(bytes)) })
  },
  '/early' (stream) { // without the body
    stream.respond({ ':status': 413 }, { endStream: true })
  },
  '/reset' (stream, query) { stream.close(Number(query)) },
  '/refused' (stream) {
    if (++refused % 3 !== 0) return stream.close(7)
    stream.respond({ ':status': 200 })
    stream.end('after all')
  },
  '/goaway' (stream) { // what comes later is for another connection
    stream.respond({ ':status': 200 })
    stream.session.goaway(0, stream.id)
    setTimeout(() => stream.end('the last'), 5)
  },
  '/destroy' (stream) { stream.session.destroy() },
  '/headers' (stream, query, headers) {
    stream.respond({ ':status': 200 })
    stream.end(JSON.stringify(headers))
  }
}

function serve (server) {
  server.on('sessionError', () => {})
  server.on('request', (req, res) => {
    if (req.httpVersion === '1.1') return res.end('by HTTP/' + req.httpVersion)
    const [, path, query] = req.url.match(/^([^?]*)\??(.*)$/)
    res.stream.on('error', () => {})
    if (routes[path]) return routes[path](res.stream, query, req.headers, res)
    res.stream.respond({ ':status': 404 }, { endStream: true })
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
}

const tls = {
  cert: fs.readFileSync(process.argv[2]),
  key: fs.readFileSync(process.argv[3]),
  allowHTTP1: true,
  settings: { maxConcurrentStreams: 20 }
}
Promise.all([
  serve(http2.createSecureServer(tls)),
  serve(http2.createServer({ settings: { initialWindowSize: 16, maxConcurrentStreams: 5 } }))
]).then((ports) => console.log(ports.join(' ')))
process.stdin.on('end', () => process.exit()).resume()
