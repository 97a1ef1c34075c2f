--- hv.limits - the defaults of every time and size, in one place. Milliseconds and bytes.
--- Reading the table is public; to change a default, give the option where it is taken.
return {
  connect_timeout = 10000, -- hv.tcp.connect
  handshake_timeout = 10000, -- of TLS, from the connection on; then it closes
  read_timeout = 300000, -- one waiting conn:read; the connection stays open
  write_timeout = 60000, -- bytes queued and none taken by the peer; the connection closes
  idle_timeout = 0, -- neither in nor out; 0: none
  write_high = 1048576, -- conn:write waits above it
  packet_bytes = 2097152, -- unpack's max_length, read_until's and read_line's max
  process_output = 16777216, -- hv.process.run: of stdout and of stderr; beyond it ELIMIT
  worker_queue = 1024, -- messages to or from a worker that were not taken; then send waits
  worker_queue_bytes = 16777216, -- and their bytes
  backlog = 0, -- 0: the kernel's maximum
  max_connections = 0, -- 0: no limit
  http_request_line = 8192, -- hv.http.app: beyond it 414
  http_header = 65536, -- all header lines of a request; beyond it 431
  http_headers = 100, -- their number; beyond it 431
  http_body = 8388608, -- max_body; beyond it 413
  http_request_timeout = 15000, -- to a connection's first byte; from a head's first byte to its end
  http_body_timeout = 30000, -- between two pieces of a body; 408
  http_handshakes = 1024, -- of TLS, under way; beyond it connections wait to be accepted
  http_idle_timeout = 75000, -- between two requests; the connection closes
  ws_message = 16777216, -- of a WebSocket, inflated; beyond it closed with 1009
  ws_fragments = 131072, -- frames of one message; the same
  ws_ping_interval = 30000, -- nothing came for so long: a ping
  ws_pong_timeout = 20000, -- and for so much longer: it is gone
  ws_close_timeout = 5000, -- for the peer to answer a close
  ws_write_max = 16777216, -- queued for one peer; beyond it ELIMIT, and no more publications
  ws_read_ahead = 65536, -- messages kept while nobody receives; then the peer waits
  redis_timeout = 5000, -- hv.redis: one call, from the sending to its reply
  redis_keepalive = 60000, -- nothing came for so long: a PING, and no answer is a loss
  redis_bulk = 536870912, -- one string of a reply; beyond it ELIMIT
  redis_reply = 1073741824, -- a whole reply as sent
  redis_depth = 32, -- lists in lists
  http_client_timeout = 30000, -- hv.http.get ...: of a request; of a streamed one, up to its head
  http_client_idle_timeout = 60000, -- between two pieces of a streamed body
  http_client_body = 67108864, -- of a response that is not streamed; beyond it ELIMIT
  http_client_redirects = 10, -- beyond it ELIMIT
  mqtt_keepalive = 60000, -- hv.mqtt: silence after which the broker is asked for a sign of life
  mqtt_ping_timeout = 10000, -- and how long it may take to give one; then the connection is dead
  mqtt_session_expiry = 3600000, -- how long the broker keeps the session of a lost connection
  mqtt_packet = 2097152, -- of a packet that comes
  mqtt_queue = 1000, -- messages that wait to be sent; beyond it ELIMIT
  mqtt_queue_bytes = 67108864, -- and their bytes, those under way included
  mqtt_inbox = 256, -- messages that wait for messages(); then the broker is slowed
}
