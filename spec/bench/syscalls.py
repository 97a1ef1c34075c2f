#!/usr/bin/env python3
"""syscalls.py - system calls per request of each server, by strace -f -c and 64 connections.

SERVER is a name from servers.json, or NAME=PORT:[PATH:]COMMAND as for bench.py.
"""
import argparse, json, os, subprocess, sys, time
H = os.path.dirname(os.path.abspath(__file__)); sys.path.insert(0, H)
import bench
ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("depth", metavar="DEPTH", type=int, help="requests under way on each connection")
ap.add_argument("servers", metavar="SERVER", nargs="+")
a = ap.parse_args()
depth, kind = a.depth, "nhttp"
servers = bench.read_servers(a.servers, ap.error)
bench.check_client(kind, ap.error)
n = 20000 * (4 if depth > 1 else 1)
print(f"| depth {depth} | calls/op | top |\n|---|---|---|")
for name, spec in servers.items():
    s = bench.Server(name, spec, kind)
    try:
        mode = "tcp" if "echo" in name else "ws" if "ws" in name.split("-") else "http"
        out = f"/tmp/hvlua-bench/run/{name}.strace"
        base = ["taskset", "-c", "1", bench.BUILD + "/netload", "--mode", mode, "--port", str(s.port), "--conns", "64", "--depth", str(depth), "--path", s.path, "--secs", "6"]
        subprocess.run(base + ["--ops", "2000"], capture_output=True)
        st = subprocess.Popen(["strace", "-f", "-c", "-o", out] + sum((["-p", str(p)] for p in s.pids), []), stderr=subprocess.DEVNULL)
        time.sleep(0.7)
        r = subprocess.run(base + ["--warm", "0", "--ops", str(n)], capture_output=True, text=True)
        ops = json.loads(r.stdout)["ops"]
        st.send_signal(2); st.wait()
        rows = []
        for l in open(out):
            a = l.split()
            if len(a) >= 5 and a[0][0].isdigit() and a[-1] != "total": rows.append((int(a[3]), a[-1]))
        rows.sort(reverse=True)
        tot = sum(x for x, _ in rows)
        print(f"| {name} | {tot/ops:.2f} | " + ", ".join(f"{c} {x/ops:.2f}" for x, c in rows[:6]) + " |", flush=True)
    finally:
        s.stop()
