#!/usr/bin/env python3
"""bench.py - runs servers pinned to CPU 0 against a load client pinned to CPU 1, in alternation.

  bench.py KIND [options] SERVER [SERVER...]

KIND   http   wrk, keep-alive            (--conns, --depth for pipelining)
       nhttp  netload, keep-alive        (same, a cheaper client: the server is the bottleneck)
       tcp    netload ping-pong          (--conns, --size)
       ws     netload WebSocket echo     (--conns, --size)
       conn   netload, one request per connection
       idle   memory per idle connection (--conns)
       tls    full TLS handshakes        (--tls12 for that version)
       https  wrk over TLS, keep-alive
       h2     h2load, HTTP/2 in the clear (--conns, --depth for requests at once on each)
       h2s    h2load, HTTP/2 over TLS    (the same)

SERVER is a name from servers.json (made of cmd, port, and per kind "path"), or
       NAME=PORT:[PATH:]COMMAND   for one that is not listed, e.g.  mine=9000:/hello:./hvlua h.lua

The first server named is the reference: every ratio is (server / reference) of the same round,
and the table shows the median over rounds. Round 0 warms up and is thrown away.
A server that does not start (a package is missing, say) is left out with a word on stderr.
All servers stay up for all rounds (an idle one costs nothing), except for kind idle.
"""
import argparse, difflib, json, os, re, shlex, shutil, signal, socket, statistics as st, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = ROOT + "/build/bench"  # the load clients and the servers written in C
os.makedirs("/tmp/hvlua-bench/run", exist_ok=True)
HZ = os.sysconf("SC_CLK_TCK")


def tree(pid):
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        try:
            for t in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{t}/children") as f:
                    todo += [int(x) for x in f.read().split()]
        except OSError:
            pass
    return out


def use(pids):
    """(run seconds, user ticks, sys ticks, rss kB) over pids."""
    run = ut = sy = rss = 0
    for p in pids:
        try:
            for t in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{t}/schedstat") as f:
                    run += int(f.read().split()[0])
            with open(f"/proc/{p}/stat") as f:
                a = f.read().rsplit(")", 1)[1].split()
            ut += int(a[11]); sy += int(a[12])
            with open(f"/proc/{p}/status") as f:
                m = re.search(r"VmRSS:\s+(\d+)", f.read())
            rss += int(m.group(1)) if m else 0
        except OSError:
            pass
    return run / 1e9, ut, sy, rss


def busy():
    """(busy seconds of all CPUs, seconds spent by niced processes: other people's work), steal."""
    with open("/proc/stat") as f:
        a = [int(x) for x in f.readline().split()[1:]]
    return (sum(a[:8]) - a[3] - a[4]) / HZ, a[7] / HZ, a[1] / HZ


def quiet(limit=10):
    """Waits until nobody else uses the CPUs, at most `limit` seconds."""
    for _ in range(limit * 4):
        b0 = busy()[0]
        time.sleep(0.25)
        if busy()[0] - b0 < 0.04:
            return True
    return False


class NotStarted(Exception):
    pass


class Server:
    def __init__(self, name, spec, kind):
        self.name, self.port = name, spec["tlsport"] if kind in ("https", "tls", "h2s") else spec["port"]
        if kind == "h2": self.port = spec.get("h2port", self.port)
        self.path, self.headers = spec.get("path", "/"), spec.get("headers", [])
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            raise NotStarted(f"{name}: port {self.port} is taken by another process")
        except OSError:
            pass
        env = dict(os.environ, **spec.get("env", {}))
        log = open(f"/tmp/hvlua-bench/run/{name}.log", "wb")
        cmd = ["taskset", "-c", "0"] + shlex.split(spec["cmd"].format(here=HERE, root=ROOT, build=BUILD))
        self.p = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env,
                                  cwd=spec.get("cwd", "/tmp/hvlua-bench/run"), start_new_session=True)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if self.p.poll() is not None:
                    break
                time.sleep(0.1)
        else:
            pass
        if self.p.poll() is not None:
            raise NotStarted(f"{name}: exited {self.p.returncode}, see /tmp/hvlua-bench/run/{name}.log")
        time.sleep(0.2)
        self.pids = tree(self.p.pid)

    def stop(self):
        pids = tree(self.p.pid)
        self.p.send_signal(signal.SIGTERM)
        try:
            self.p.wait(3)
        except subprocess.TimeoutExpired:
            self.p.kill(); self.p.wait()
        for p in pids[1:]:
            try:
                os.kill(p, signal.SIGKILL)
            except OSError:
                pass


def dur(s):
    m = re.match(r"([\d.]+)(us|ms|s|m)", s)
    if not m: return 0.0
    return float(m.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[m.group(2)]


def h2(s, kind, a):
    """HTTP/2 by h2load, a.depth requests at once on each connection; h2s: over TLS."""
    url = f"{'https' if kind == 'h2s' else 'http'}://127.0.0.1:{s.port}{s.path}"
    cmd = ["taskset", "-c", "1", "h2load", f"-c{a.conns}", f"-m{a.depth}", "-D", str(a.secs), url]
    u0 = use(s.pids)
    o = subprocess.run(cmd, capture_output=True, text=True, timeout=a.secs + 20).stdout
    u1 = use(s.pids)
    n = int(re.search(r"(\d+) succeeded", o).group(1))
    bad = re.search(r"(\d+) failed, (\d+) errored", o)
    cpu, ut, sy = u1[0] - u0[0], u1[1] - u0[1], u1[2] - u0[2]
    if not n:
        return dict(ops_s=0, ops_per_cpu_s=0, p50_us=0, p99_us=0, cpu=cpu / a.secs, user=0, rss_kb=u1[3], errors="no request completed")
    times = re.search(r"time for request:\s+\S+\s+(\S+)\s+(\S+)", o) # max and mean: h2load has no more
    failed = int(bad.group(1)) + int(bad.group(2))
    return dict(ops_s=n / a.secs, ops_per_cpu_s=n / cpu if cpu else 0, p50_us=dur(times.group(2)), p99_us=dur(times.group(1)),
                cpu=cpu / a.secs, user=ut / max(1, ut + sy), rss_kb=u1[3], errors=f"{failed} failed" if failed else "")


def one(s, kind, a):
    if kind in ("h2", "h2s"):
        return h2(s, kind, a)
    pid = ",".join(map(str, s.pids))
    if kind in ("http", "https"):
        url = f"{'https' if kind == 'https' else 'http'}://127.0.0.1:{s.port}{s.path}"
        cmd = ["taskset", "-c", "1", "wrk", "-t1", f"-c{a.conns}", f"-d{a.secs}s", "--latency"]
        cmd += ["-s", HERE + "/pipe.lua", url, "--", str(a.depth)] if a.depth > 1 else [url]
        for header in s.headers:
            cmd[4:4] = ["-H", header]
        u0 = use(s.pids)
        o = subprocess.run(cmd, capture_output=True, text=True, timeout=a.secs + 20).stdout
        u1 = use(s.pids)
        n = int(re.search(r"(\d+) requests in", o).group(1))
        rps = float(re.search(r"Requests/sec:\s+([\d.]+)", o).group(1))
        err = re.search(r"Socket errors:.*|Non-2xx.*", o)
        ut, sy = u1[1] - u0[1], u1[2] - u0[2]
        cpu = u1[0] - u0[0]
        if not n:
            return dict(ops_s=0, ops_per_cpu_s=0, p50_us=0, p99_us=0, cpu=cpu / a.secs, user=0, rss_kb=u1[3], errors="no request completed")
        return dict(ops_s=rps, ops_per_cpu_s=n / cpu if cpu else 0, p50_us=dur(re.search(r"(?m)^\s+50%\s+(\S+)", o).group(1)),
                    p99_us=dur(re.search(r"(?m)^\s+99%\s+(\S+)", o).group(1)), cpu=cpu / (n / rps), user=ut / max(1, ut + sy),
                    rss_kb=u1[3], errors=err.group(0) if err else "")
    if kind == "tls":
        cmd = ["taskset", "-c", "1", BUILD + "/tlsload", "--port", str(s.port), "--path", s.path, "--secs", str(a.secs), "--pid", pid]
        if a.tls12: cmd.append("--tls12")
    else:
        mode = "http" if kind == "nhttp" else kind
        cmd = ["taskset", "-c", "1", BUILD + "/netload", "--mode", mode, "--port", str(s.port), "--conns", str(a.conns),
               "--size", str(a.size), "--depth", str(a.depth), "--secs", str(a.secs), "--path", s.path, "--pid", pid]
        for header in s.headers:
            cmd += ["--header", header]
    r = subprocess.run(cmd, capture_output=True, text=True, timeout=a.secs + 40)
    if not r.stdout.strip():
        raise RuntimeError(f"{s.name}: {r.stderr.strip()}")
    d = json.loads(r.stdout)
    if kind == "idle":
        return d
    return dict(ops_s=d["ops_s"], ops_per_cpu_s=d["ops_per_cpu_s"], mb_s=d.get("mb_s", 0), p50_us=d["p50_us"], p99_us=d["p99_us"],
                cpu=d["srv_cpu_s"] / d["secs"], user=d["srv_user_frac"], rss_kb=d["srv_rss_kb"],
                errors=(str(d["errors"]) if d["errors"] else ""), cli=d["cli_cpu_frac"])


KINDS = {"http": "wrk", "nhttp": "netload", "tcp": "netload", "ws": "netload", "conn": "netload", "idle": "netload",
         "tls": "tlsload", "https": "wrk", "h2": "h2load", "h2s": "h2load"}  # and the client of each


def read_servers(words, fail):
    """The servers that the command line names; `fail` is told what is wrong with one."""
    with open(HERE + "/servers.json") as f:
        known = json.load(f)
    specs = {}
    for word in words:
        own = re.fullmatch(r"([^=]+)=(\d+):(?:(/[^: ]*):)?(.+)", word)
        if own:
            name, port, path, cmd = own.groups()
            specs[name] = dict(cmd=cmd, port=int(port), tlsport=int(port), path=path or "/")
        elif "=" in word:
            fail(f"a server of one's own is NAME=PORT:[PATH:]COMMAND, got {word}")
        elif word in known:
            specs[word] = known[word]
        else:
            near = difflib.get_close_matches(word, known, 1)
            fail(f"there is no server {word}" + (f", did you mean {near[0]}?" if near else "")
                 + "\nknown are: " + " ".join(sorted(known)))
    return specs


def check_client(kind, fail):
    """Without the load client there is nothing to measure with."""
    client = KINDS[kind]
    if not (shutil.which(client) or os.access(f"{BUILD}/{client}", os.X_OK)):
        fail(f"the load client {client} is missing: .ci/setup bench installs the peers, "
             "cmake --build build --target bench_clients builds ours")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); signal.signal(signal.SIGINT, signal.default_int_handler)
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("kind", metavar="KIND", choices=KINDS)
    ap.add_argument("servers", metavar="SERVER", nargs="+")
    ap.add_argument("--conns", type=int, default=64, help="connections (64)")
    ap.add_argument("--size", type=int, default=64, help="bytes of a message (64)")
    ap.add_argument("--depth", type=int, default=1, help="requests or messages under way on each connection (1)")
    ap.add_argument("--secs", type=int, default=2, help="seconds a round (2)")
    ap.add_argument("--rounds", type=int, default=5, help="rounds, without the first (5)")
    ap.add_argument("--tls12", action="store_true", help="TLS 1.2 instead of 1.3")
    ap.add_argument("--label", default="", help="the head of the table")
    a = ap.parse_args()
    specs = read_servers(a.servers, ap.error)
    check_client(a.kind, ap.error)
    res = {n: [] for n in specs}
    if a.kind == "idle":
        for rnd in range(a.rounds):
            for n, sp in specs.items():
                try:
                    s = Server(n, sp, a.kind)
                except NotStarted as why:
                    print(f"left out: {why}", file=sys.stderr)
                    res.pop(n, None)
                    continue
                try:
                    w = subprocess.run([BUILD + "/netload", "--mode", "idle", "--port", str(s.port), "--conns", "1",
                                        "--path", s.path], capture_output=True)
                    res[n].append(one(s, "idle", a))
                finally:
                    s.stop()
        print(f"| {a.label or 'idle'} conns={a.conns} | base RSS MiB | RSS with conns MiB | bytes/conn (median) | min..max |\n|---|---|---|---|---|")
        for n, rs in res.items():
            b = [r["bytes_per_conn"] for r in rs]
            print(f"| {n} | {st.median(r['rss0_kb'] for r in rs)/1024:.1f} | {st.median(r['rss1_kb'] for r in rs)/1024:.1f} | {st.median(b):.0f} | {min(b):.0f}..{max(b):.0f} |")
    else:
        up = {}
        try:
            for n, sp in specs.items():
                try:
                    up[n] = Server(n, sp, a.kind)
                except NotStarted as why:
                    print(f"left out: {why}", file=sys.stderr)
                    del res[n]
            if not up:
                raise SystemExit("no server started")
            for rnd in range(a.rounds + 1):
                for n, s in up.items():
                    if rnd == 0:
                        sec, a.secs = a.secs, 1
                        try: one(s, a.kind, a)
                        finally: a.secs = sec
                        continue
                    for attempt in range(3): # again if someone else was busy meanwhile
                        quiet()
                        (b0, s0, n0), t0, k0 = busy(), time.time(), os.times()
                        r = one(s, a.kind, a)
                        (b1, s1, n1), t1, k1 = busy(), time.time(), os.times()
                        mine = k1.children_user + k1.children_system - k0.children_user - k0.children_system + r["cpu"] * (t1 - t0)
                        r["steal"], r["noise"] = (s1 - s0) / (t1 - t0), max(n1 - n0, b1 - b0 - mine - 0.1) / (t1 - t0)
                        if r["noise"] < 0.06:
                            break
                    res[n].append(r)
        finally:
            for s in up.values():
                s.stop()
        ref = next(iter(res))
        med = lambda n, k: st.median(r[k] for r in res[n])
        def ratio(n, k):
            q = [x[k] / y[k] for x, y in zip(res[n], res[ref]) if y[k]]
            return st.median(q), min(q), max(q)
        title = a.label or f"{a.kind} c={a.conns} d={a.depth} size={a.size}"
        print(f"| {title} | ops/s | ops/cpu-s | ratio ops/cpu-s (min..max) | ratio ops/s | us cpu/op | us user/op | srv cpu% | p50 us | p99 us | RSS MiB | others cpu% | err |")
        print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
        for n in res:
            q, lo, hi = ratio(n, "ops_per_cpu_s")
            q2 = ratio(n, "ops_s")[0]
            err = next((r["errors"] for r in res[n] if r["errors"]), "")
            print(f"| {n} | {med(n,'ops_s'):.0f} | {med(n,'ops_per_cpu_s'):.0f} | {q:.3f} ({lo:.2f}..{hi:.2f}) | {q2:.3f} | "
                  f"{1e6/max(1,med(n,'ops_per_cpu_s')):.2f} | {st.median(1e6*r['user']/max(1,r['ops_per_cpu_s']) for r in res[n]):.2f} | {100*med(n,'cpu'):.0f} | {med(n,'p50_us'):.0f} | {med(n,'p99_us'):.0f} | {med(n,'rss_kb')/1024:.1f} | {100*med(n,'noise'):.0f} | {err} |")
    os.makedirs("/tmp/hvlua-bench/results", exist_ok=True)
    with open("/tmp/hvlua-bench/results/raw.jsonl", "a") as f:
        f.write(json.dumps(dict(t=time.time(), args=vars(a), res=res)) + "\n")


if __name__ == "__main__":
    main()
