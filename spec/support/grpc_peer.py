"""grpc_peer.py - gRPC's own library for Python as a peer; messages are plain bytes.

    grpc_peer.py client PORT    asks a server of ours: prints what it got as JSON
    grpc_peer.py server         serves: prints its port, ends with its input
"""
import concurrent.futures
import json
import sys

import grpc


def ask(port):
    channel = grpc.insecure_channel("127.0.0.1:" + port)

    def unary(name):
        return channel.unary_unary("/test.Echo/" + name)

    got = {}
    answer, call = unary("Unary").with_call(b"hello", metadata=[("x-key", "value")], timeout=30)
    got["unary"] = answer.decode()
    got["initial"] = dict(call.initial_metadata()).get("x-key")
    got["trailing"] = dict(call.trailing_metadata()).get("x-count")
    got["large"] = len(unary("Unary")(b"x" * 1000000, timeout=30))
    counted = channel.unary_stream("/test.Echo/Count")(b"3", timeout=30)
    got["counted"] = [answer.decode() for answer in counted]
    chat = channel.stream_stream("/test.Echo/Chat")(iter([b"one", b"two", b"three"]), timeout=30)
    got["chat"] = [answer.decode() for answer in chat]
    got["failures"] = []
    for name in ("Fail", "Nowhere"):
        try:
            unary(name)(b"", timeout=30)
        except grpc.RpcError as error:
            got["failures"].append(error.code().name + ": " + error.details())
    channel.close()
    print(json.dumps(got))


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        if name == "Unary":
            return grpc.unary_unary_rpc_method_handler(self.unary)
        if name == "Chat":
            return grpc.stream_stream_rpc_method_handler(self.chat)
        if name == "Fail":
            return grpc.unary_unary_rpc_method_handler(self.fail)
        return None

    def unary(self, request, context):
        context.set_trailing_metadata([("x-length", str(len(request)))])
        return b"echo " + request

    def chat(self, requests, context):
        for request in requests:
            yield b"echo " + request

    def fail(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


def serve():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((Echo(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


if sys.argv[1] == "client":
    ask(sys.argv[2])
else:
    serve()
