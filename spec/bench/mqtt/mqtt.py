#!/usr/bin/env python3
"""mqtt.py [ROUNDS [SECONDS]]: MQTT publishers in alternation toward a sink, as tables on stdout.

The sink on CPU 0, one publisher at a time on CPU 1, 64 bytes a message, a window of 96. The figure is
the publisher's CPU time a message. Round 0 warms up. Ratios are made of two figures of the same
round; the table has the median. Build first: cmake --build build/bench --target hvlua bench_clients.
"""
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("HV_BUILD", os.path.join(HERE, "../../../build/bench"))
HVLUA = next((p for p in (BUILD + "/bin/hvlua", BUILD + "/../bin/hvlua") if os.path.exists(p)), "")
PUBLISHERS = {
    "libmosquitto": ([BUILD + "/bench/pub_mosq"], []),
    "raw, 16 a send": ([BUILD + "/bench/pub_raw"], ["16"]),
    "raw, one a send": ([BUILD + "/bench/pub_raw"], ["1"]),
    "hvlua": ([HVLUA, HERE + "/pub_hv.lua"], []),
    "npm mqtt": (["node", HERE + "/pub_node.js"], []),
}


def measure(name, port, qos, seconds):
    command, more = PUBLISHERS[name]
    if command[0] != "node" and not os.path.exists(command[0]):
        return None
    done = subprocess.run(["taskset", "-c", "1", *command, port, qos, seconds, "96", *more],
                          capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"(\d+) msg/s, (\d+) ns CPU", done.stdout)
    if not found:
        print(f"<!-- {name}, QoS {qos}: {done.stderr.strip()[:200]} -->")
        return None
    return int(found[1]), int(found[2])


def table(port, qos, rounds, seconds):
    seen = {name: [] for name in PUBLISHERS}
    for number in range(rounds + 1):
        for name in PUBLISHERS:
            figures = measure(name, port, qos, seconds)
            if number > 0 and figures:
                seen[name].append((number, *figures))
    print(f"\n| MQTT publish, QoS {qos} | msg/s | client CPU ns a message | against libmosquitto |")
    print("|---|---|---|---|")
    reference = {number: cpu for number, _, cpu in seen["libmosquitto"]}
    for name, figures in seen.items():
        if not figures:
            continue
        ratios = [cpu / reference[number] for number, _, cpu in figures if number in reference]
        ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
        print(f"| {name} | {statistics.median(f[1] for f in figures):.0f} "
              f"| {statistics.median(f[2] for f in figures):.0f} | {ratio} |")
    sys.stdout.flush()


def main():
    if not all(word.isdigit() for word in sys.argv[1:]):
        sys.exit(__doc__.rstrip())
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = sys.argv[2] if len(sys.argv) > 2 else "2"
    sink = subprocess.Popen(["taskset", "-c", "0", BUILD + "/bench/sink"], stdout=subprocess.PIPE,
                            text=True)
    try:
        port = re.search(r":(\d+)", sink.stdout.readline())[1]
        for qos in ("0", "1"):
            table(port, qos, rounds, seconds)
    finally:
        sink.terminate()
        sink.wait()


main()
