#!/usr/bin/env python3
"""keepalive.py PORT SECONDS CLIENTS [PATH]: clients that keep their connections and count.

Each asks again and again, goes on where the connection does, and connects anew after an answer that
says Connection: close. Anything else that ends a connection, and any answer that is not a whole 200,
is a failure. Prints "answered N closed N failed N", and what went wrong first.
"""
import socket
import sys
import threading
import time

PORT, SECONDS, CLIENTS = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
PATH = sys.argv[4] if len(sys.argv) > 4 else "/"
REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
lock = threading.Lock()
answered = closed = failed = 0
first_problem = None


def read_answer(connection, kept):
    """Returns (status, says close, bytes behind the answer)."""
    while b"\r\n\r\n" not in kept:
        piece = connection.recv(65536)
        if not piece:
            raise EOFError(f"closed after {len(kept)} bytes of an answer")
        kept += piece
    head, rest = kept.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    length = int(headers["content-length"])
    while len(rest) < length:
        piece = connection.recv(65536)
        if not piece:
            raise EOFError("closed inside a body")
        rest += piece
    return int(lines[0].split(" ")[1]), headers.get("connection") == "close", rest[length:]


def note(kind, problem=None):
    global answered, closed, failed, first_problem
    with lock:
        answered += kind == "answered"
        closed += kind == "closed"
        failed += kind == "failed"
        first_problem = first_problem or problem


def client(end):
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", PORT), timeout=20) as connection:
                kept, says_close = b"", False
                while time.monotonic() < end and not says_close:
                    connection.sendall(REQUEST)
                    status, says_close, kept = read_answer(connection, kept)
                    if status != 200:
                        raise ValueError(f"status {status}")
                    note("answered")
                    time.sleep(0.001)  # so that the server also meets idle connections
                if says_close:
                    if connection.recv(1) != b"":
                        raise ValueError("bytes after the last answer")
                    note("closed")
        except (OSError, EOFError, ValueError) as problem:
            note("failed", f"{type(problem).__name__}: {problem}")


threads = [threading.Thread(target=client, args=(time.monotonic() + SECONDS,))
           for _ in range(CLIENTS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"answered {answered} closed {closed} failed {failed}", first_problem or "")
