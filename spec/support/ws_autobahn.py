"""ws_autobahn.py server DEFLATE | client URL - python3-autobahn at one end of a WebSocket, for spec/e2e.

server: listens, prints its port, echoes; takes "close" as the wish to be closed with 4001.
client: sends lengths, fragments, pings and many messages to an echo server, once without and once
with compression, and prints "ok NAME" for each, or "not ok NAME: WHY".
"""
import asyncio
import sys

from autobahn.asyncio.websocket import (
    WebSocketClientFactory, WebSocketClientProtocol, WebSocketServerFactory, WebSocketServerProtocol)
from autobahn.websocket.compress import (
    PerMessageDeflateOffer, PerMessageDeflateOfferAccept, PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept)


class EchoServer(WebSocketServerProtocol):
    def onConnect(self, request):
        return "chat" if "chat" in request.protocols else None

    def onMessage(self, payload, isBinary):
        if payload == b"close":
            self.sendClose(4001, "as you wish")
        else:
            self.sendMessage(payload, isBinary, fragmentSize=1000 if len(payload) > 5000 else None)


def accept_offer(offers):
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


def accept_response(response):
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response)
    return None


async def serve(deflates):
    factory = WebSocketServerFactory()
    factory.protocol = EchoServer
    factory.setProtocolOptions(utf8validateIncoming=True, failByDrop=False)
    if deflates:
        factory.setProtocolOptions(perMessageCompressionAccept=accept_offer)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


class Client(WebSocketClientProtocol):
    def __init__(self):
        super().__init__()
        self.events = asyncio.Queue()

    def onOpen(self):
        self.events.put_nowait(("open",))

    def onMessage(self, payload, isBinary):
        self.events.put_nowait(("message", payload, isBinary))

    def onPong(self, payload):
        self.events.put_nowait(("pong", payload))

    def onClose(self, wasClean, code, reason):
        self.events.put_nowait(("close", code, reason))

    async def expect(self, *wanted):
        got = await asyncio.wait_for(self.events.get(), 10)
        if got != wanted:
            raise AssertionError("%r instead of %r" % (str(got)[:80], str(wanted)[:80]))


async def every_length(client):
    for length in (0, 1, 125, 126, 127, 1000, 65535, 65536, 200000):
        for is_binary in (False, True):
            payload = (b"ab\0\xff" if is_binary else b"lore") * (length // 4 + 1)
            client.sendMessage(payload[:length], is_binary)
            await client.expect("message", payload[:length], is_binary)


async def fragments_and_pings(client):
    client.sendMessage(b"x" * 10000, True, fragmentSize=100)
    await client.expect("message", b"x" * 10000, True)
    client.beginMessage(isBinary=False)
    client.beginMessageFrame(4)
    client.sendMessageFrameData(b"one ")
    client.sendPing(b"p")
    client.beginMessageFrame(3)
    client.sendMessageFrameData(b"two")
    client.endMessage()
    await client.expect("pong", b"p")
    await client.expect("message", b"one two", False)


async def many_at_once(client):
    for i in range(200):
        client.sendMessage(b"message %d" % i)
    for i in range(200):
        await client.expect("message", b"message %d" % i, False)


async def close_with_reason(client):
    client.sendClose(3000, "done")
    await client.expect("close", 3000, "done")


async def bad_text(client):
    client.sendMessage(b"\xff\xfe", False)
    await client.expect("close", 1007, None)


async def run(url, port):
    for deflates in (False, True):
        for test in (every_length, fragments_and_pings, many_at_once, close_with_reason, bad_text):
            if deflates and test is fragments_and_pings:
                continue  # autobahn compresses no frames that are begun by hand
            name = "%s, deflate: %s" % (test.__name__, deflates)
            factory = WebSocketClientFactory(url)
            factory.protocol = Client
            if deflates:
                factory.setProtocolOptions(
                    perMessageCompressionOffers=[PerMessageDeflateOffer()],
                    perMessageCompressionAccept=accept_response)
            _, client = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
            try:
                await client.expect("open")
                await test(client)
                print("ok " + name, flush=True)
            except Exception as problem:
                print("not ok %s: %s %s" % (name, type(problem).__name__, problem), flush=True)
            client.dropConnection(abort=True)


if sys.argv[1] == "server":
    asyncio.run(serve(sys.argv[2] == "deflate"))
else:
    asyncio.run(run(sys.argv[2], int(sys.argv[2].split(":")[2].split("/")[0])))
