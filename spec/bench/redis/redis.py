#!/usr/bin/env python3
"""redis.py [ROUNDS]: clients of Redis in alternation, as a table on stdout.

A redis-server of Debian's on CPU 0, one client at a time on CPU 1, each sending pipelines of 10,000
GETs. Round 0 warms up. Ratios are made of two figures of the same round; the table has the median.
Build first: cmake --build build/bench --target hvlua bench_clients.
"""
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("HV_BUILD", os.path.join(HERE, "../../../build/bench"))
HVLUA = next((p for p in (BUILD + "/bin/hvlua", BUILD + "/../bin/hvlua") if os.path.exists(p)), "")
BATCHES = "30"
CLIENTS = {
    "hiredis": [BUILD + "/bench/hiredis_get"],
    "hvlua": [HVLUA, HERE + "/hv_get.lua"],
    "npm redis": ["node", HERE + "/node_get.js"],
    "hvlua, 100 tasks": [HVLUA, HERE + "/hv_tasks.lua"],
}


def start_server(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(["taskset", "-c", "0", "redis-server", "--port", str(port),
                               "--bind", "127.0.0.1", "--save", "", "--dir", folder],
                              stdout=subprocess.DEVNULL)
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server, port
        except OSError:
            time.sleep(0.01)
    sys.exit("redis-server does not listen")


def measure(command, port):
    if not os.path.exists(command[0]) and command[0] != "node":
        return None
    batches = "200000" if "tasks" in command[-1] else BATCHES
    done = subprocess.run(["taskset", "-c", "1", *command, str(port), batches],
                          capture_output=True, text=True, check=True)
    found = re.search(r"(\d+) op/s, (\d+) ns CPU", done.stdout)
    return int(found[1]), int(found[2])


def main():
    if not all(word.isdigit() for word in sys.argv[1:]):
        sys.exit(__doc__.rstrip())
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seen = {name: [] for name in CLIENTS}
    with tempfile.TemporaryDirectory() as folder:
        server, port = start_server(folder)
        try:
            for round_number in range(rounds + 1):
                for name, command in CLIENTS.items():
                    figures = measure(command, port)
                    if round_number > 0 and figures:
                        seen[name].append(figures)
        finally:
            server.kill()
            server.wait()
    print("| client | GET/s | ns of client CPU | GET/s, of hiredis' |\n|---|---|---|---|")
    for name, figures in seen.items():
        if not figures or not seen["hiredis"]:
            continue
        ratios = [a[0] / b[0] for a, b in zip(figures, seen["hiredis"])]
        print("| %s | %.0f | %.0f | %.2f |" % (
            name, statistics.median(a for a, _ in figures),
            statistics.median(b for _, b in figures), statistics.median(ratios)))


main()
