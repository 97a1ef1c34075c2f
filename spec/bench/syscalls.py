#!/usr/bin/env python3
"""syscalls.py DEPTH SERVER...: system calls per request of each server (strace -f -c, 64 connections)."""
import json, os, subprocess, sys, time
H = os.path.dirname(os.path.abspath(__file__)); sys.path.insert(0, H)
import bench
known = json.load(open(H + "/servers.json"))
depth, kind = int(sys.argv[1]), "nhttp"
n = 20000 * (4 if depth > 1 else 1)
print(f"| depth {depth} | calls/op | top |\n|---|---|---|")
for name in sys.argv[2:]:
    sp = known[name]
    s = bench.Server(name, sp, kind)
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
