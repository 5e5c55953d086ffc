# SPDX-License-Identifier: Apache-2.0
"""The rows about GPU memory: transfers between GPUs of one host, kernels, the
memory taken, and other programs beside them."""
import concurrent.futures
import functools
import json
import os
import pathlib
import statistics

from table.command import Failed, Skipped, run_json
from table.row import Row, Seen, from_pairs, in_turn, micros, speed

HERE = pathlib.Path(__file__).resolve().parent


class Bench:
    """A build, the GPUs in use, and what was measured once for several rows."""

    def __init__(self, build, tcpx, gpus, quick, pretend):
        self.build, self.tcpx = build, tcpx
        self.gpus, self.quick = gpus, quick
        self.best = {}
        self.kind = "gpu" if pretend else "cuda"
        self.driver = "host" if pretend else "cuda"

    def program(self, name):
        return str(self.build / "bench" / "gpu" / name)

    def places(self):
        """This end's memory and the other's: one GPU is both, if need be."""
        return ["--mem", "%s:%d" % (self.kind, self.gpus[0]),
                "--peer-mem", "%s:%d" % (self.kind, self.gpus[-1])]

    def env(self, more=None):
        return dict({"TCPX_GPU": self.driver}, **(more or {}))

    def perf(self, args, plan, env=None, rounds=None):
        """One case with the session's settings in it."""
        rounds = rounds or plan.rounds
        answer = run_json(
            [self.tcpx.path, "perf", "--json", "--self", *self.places(),
             "--rounds", str(rounds), "--duration",
             "%dms" % (rounds * plan.round_s * 1000), *args], 300,
            self.env(env))
        case = answer["cases"][0]
        if case["failure"]:
            raise Failed(case["failure"])
        if case["checked"] and not case["verified"]:
            raise Failed("wrong bytes")
        case["session"] = answer["settings"]["session"]
        return case

    @functools.lru_cache(maxsize=None)
    def micro(self, part):
        args = ["--quick"] if self.quick else []
        return run_json([self.program("gpu_micro"), "--device",
                         str(self.gpus[0]), "--driver", self.driver, *args,
                         part], 300)

    @functools.lru_cache(maxsize=None)
    def pcie(self):
        """The most that pinned memory and device exchange, slower way."""
        best = {}
        for row in self.micro("staging")["staging"]:
            if row and row["way"] != "both":
                best[row["way"]] = max([best.get(row["way"], 0),
                                        *row["GBps"].values()])
        return min(best.values())

    @functools.lru_cache(maxsize=None)
    def nccl(self):
        return run_json([str(HERE / "nccl"), "--gpus",
                         "%d,%d" % (self.gpus[0], self.gpus[-1]),
                         *(["--quick"] if self.quick else [])], 900)

    def raw_ring(self, flows, threads, slots, slot_bytes, both=False,
                 rounds=1):
        gib = max(2, flows // 2) if self.quick else max(4, flows)
        return run_json(
            [self.program("raw_ring"), "--flows", str(flows), "--threads",
             str(threads), "--slots", str(slots), "--slot-bytes",
             str(slot_bytes), "--gib", str(gib), "--rounds", str(rounds),
             *(["--both"] if both else [])], 300)


# ---- the best setting -----------------------------------------------------

def _settings(cores):
    """Threads a side, flows, chunk; a flow is a thread's at most."""
    wanted = ((8, 8, "1M"), (12, 12, "1M"), (14, 14, "1M"), (15, 15, "512K"),
              (15, 15, "1M"), (16, 16, "1M"))
    return [x for x in wanted if x[0] <= cores // 2] or [(1, 2, "512K")]


def _env(best, more=None):
    return dict({"TCPX_WORKERS": str(best["workers"]),
                 "TCPX_CHUNK_BYTES": best["chunk"]}, **(more or {}))


def _find_best(bench, cores, plan):
    """The setting whose 64 MiB WRITE is fastest, tried once."""
    if not bench.best:
        tried = {}
        for workers, flows, chunk in _settings(cores):
            one = {"workers": workers, "flows": flows, "chunk": chunk}
            case = bench.perf(["--size", "64M", "--flows", str(flows),
                               "--no-verify"], plan, _env(one), rounds=2)
            tried[(workers, flows, chunk)] = case["gigabytes_per_s"]
        workers, flows, chunk = max(tried, key=tried.get)
        bench.best = {"workers": workers, "flows": flows, "chunk": chunk,
                      "tried": {"%d workers, %d flows, %s" % k: v
                                for k, v in tried.items()}}
    return bench.best


def _at_best(bench, cores, args, plan, ceiling=True):
    best = _find_best(bench, cores, plan)
    case = bench.perf([*args, "--flows", str(best["flows"]),
                       *(["--ceiling"] if ceiling else [])], plan,
                      _env(best))
    case["best"] = best
    return case


@functools.lru_cache(maxsize=None)
def _best_case(bench, cores, op, size, at_once, rounds, round_s):
    plan = type("Plan", (), {"rounds": rounds, "round_s": round_s})
    return _at_best(bench, cores, ["--op", op, "--size", size,
                                   "--outstanding", str(at_once)], plan)


def _best_speed(bench, cores, op, size, at_once, _tcpx, plan):
    case = _best_case(bench, cores, op, size, at_once, plan.rounds,
                      plan.round_s)
    best = case["best"]
    return Seen(speed(case["gigabytes_per_s"]), case["gigabytes_per_s"],
                "%d workers, %d flows, chunks of %s" % (
                    best["workers"], best["flows"], best["chunk"]), case)


def _best_ratio(bench, cores, op, size, at_once, _tcpx, plan):
    case = _best_case(bench, cores, op, size, at_once, plan.rounds,
                      plan.round_s)
    raw, pcie = case["ceiling_gigabytes_per_s"], bench.pcie()
    ratio = case["ratio"] if raw <= pcie else case["gigabytes_per_s"] / pcie
    return Seen(speed(case["gigabytes_per_s"]), ratio,
                "raw %s, PCIe %s" % (speed(raw), speed(pcie)),
                {"raw": raw, "pcie": pcie})


def _against_nccl(bench, cores, op, size, at_once, _tcpx, plan):
    case = _best_case(bench, cores, op, size, at_once, plan.rounds,
                      plan.round_s)
    cases = bench.nccl()["cases"]
    figures = {name: seen[size] for name, seen in cases.items()
               if size in seen}
    if not figures:
        raise Failed("NCCL: %s" % list(cases.values())[0].get("failed"))
    name = max(figures, key=figures.get)
    return Seen(speed(case["gigabytes_per_s"]),
                case["gigabytes_per_s"] / figures[name],
                "NCCL %s (%s)" % (speed(figures[name]), name), bench.nccl())


def _cpu(bench, cores, best, size, at_once, _tcpx, plan):
    if best:
        case = _best_case(bench, cores, "write", size, at_once, plan.rounds,
                          plan.round_s)
    else:
        case = bench.perf(["--size", size, "--outstanding", str(at_once),
                           "--ceiling"], plan)
    ours, raw = (case["cpu_s_per_gigabyte"],
                 case["ceiling_cpu_s_per_gigabyte"])
    return Seen("%.3f s/GB" % ours, ours / raw, "raw %.3f s/GB" % raw)


# ---- against a raw loop with the same threads and slots ---------------------

def _default_workers():
    """As core/session.c has it."""
    cores = len(os.sched_getaffinity(0))
    return 1 if cores < 2 else 2 if cores < 12 else min(16, cores // 4)


def _against_ring(bench, flows, both, _tcpx, plan):
    """flows 0: our defaults. As many of everything for the raw loop."""
    args = ["--size", "64M"] + (["--flows", str(flows)] if flows else [])
    args += ["--both-directions"] if both else []
    first = bench.perf([*args, "--no-verify"], plan, rounds=1)
    workers = _default_workers()
    # 0: what the library takes for GPU memory by itself.
    n, slot_bytes = first["flows"], first["session"]["chunk_bytes"] or 1 << 20

    def ours():
        return bench.perf([*args, "--no-verify"], plan,
                          rounds=1)["gigabytes_per_s"]

    def raw():
        answer = bench.raw_ring(n, workers, 8, slot_bytes, both)
        return statistics.median(answer["GBps"]) * (2 if both else 1)

    seen = from_pairs(in_turn(ours, raw, plan.rounds), "raw loop")
    seen.against += " (%d flows, %d threads)" % (n, workers)
    return seen


# ---- small pieces, latency ---------------------------------------------------

def _pieces(bench, cores, op, size, segments, _tcpx, plan):
    best = _find_best(bench, cores, plan)
    common = ["--op", op, "--flows", str(best["flows"])]
    env = _env(best)
    return from_pairs(in_turn(
        lambda: bench.perf([*common, "--size", size, "--segments",
                            str(segments)], plan, env, 1)["gigabytes_per_s"],
        lambda: bench.perf([*common, "--size", "64M"], plan, env,
                           1)["gigabytes_per_s"], plan.rounds), "64 MiB")


def _pieces_speed(bench, cores, op, size, segments, _tcpx, plan):
    case = _at_best(bench, cores, ["--op", op, "--size", size, "--segments",
                                   str(segments)], plan, ceiling=False)
    return Seen(speed(case["gigabytes_per_s"]), case["gigabytes_per_s"], "",
                case)


def _one_way(bench, size, wait, env, _tcpx, plan):
    case = bench.perf(["--notify", "--size", size, "--wait", wait], plan, env)
    return Seen("%s (p99 %s)" % (micros(case["p50_us"]),
                                 micros(case["p99_us"])), case["p50_us"], "",
                case)


# ---- one GPU -------------------------------------------------------------------

def _unpack(bench, pieces, _tcpx, plan):
    rows = [r for r in bench.micro("unpack")["unpack_64MiB"]
            if r and r["pieces"] == pieces]
    figure = next(r for r in rows if r["lists"] == "device" and
                  r["streams"] == 3)
    others = ", ".join("%s lists, %d stream%s %.2f" % (
        r["lists"], r["streams"], "s" if r["streams"] > 1 else "", r["ratio"])
        for r in rows if r is not figure)
    return Seen("%d GB/s" % figure["GBps"], figure["ratio"],
                "copy %.1f us; %s" % (figure["copy_us"], others),
                {"rows": rows})


def _staging(bench, way, _tcpx, plan):
    rows = [r for r in bench.micro("staging")["staging"]
            if r and r["way"] == way and r["by"] == "kernel" and
            r["job_bytes"] == 1 << 20]
    best = max(rows[0]["GBps"].values())
    engine = [r for r in bench.micro("staging")["staging"]
              if r and r["way"] == way and r["by"] == "engine" and
              r["job_bytes"] == 1 << 20]
    return Seen(speed(best), best, "copy engine %s" % speed(
        max(engine[0]["GBps"].values())), bench.micro("staging"))


def _latency(bench, by, way, size, _tcpx, plan):
    row = next(r for r in bench.micro("latency")["latency"]
               if (r["by"], r["way"], r["bytes"]) == (by, way, size))
    return Seen("%s (p99 %s)" % (micros(row["p50_us"]),
                                 micros(row["p99_us"])), row["p50_us"])


def _held(bench, key, _tcpx, plan):
    """By the session's own statistics, in a process of its own."""
    answer = run_json([str(HERE / "held"), "--build", str(bench.build),
                       "--gpu", str(bench.gpus[0])], 120)
    mib = answer["gpus"][0][key] / 2 ** 20
    return Seen("%.0f MiB" % mib, mib, "", answer)


# ---- all GPUs of the host ------------------------------------------------------

def _halves(bench, count, op, _tcpx, plan):
    """GPU i with GPU i + n/2, all at once, a process (and its peer) each."""
    if count < 4:
        raise Skipped("fewer than four GPUs")
    half = count // 2

    def pair(i):
        answer = run_json(
            [bench.tcpx.path, "perf", "--json", "--self", "--mem",
             "%s:%d" % (bench.kind, i), "--peer-mem",
             "%s:%d" % (bench.kind, i + half), "--op", op, "--size", "64M",
             "--no-verify", "--rounds", str(plan.rounds), "--duration",
             "%dms" % (plan.rounds * plan.round_s * 4000)], 300, bench.env())
        if answer["cases"][0]["failure"]:
            raise Failed(answer["cases"][0]["failure"])
        return answer["cases"][0]

    with concurrent.futures.ThreadPoolExecutor(half) as pool:
        cases = list(pool.map(pair, range(half)))
    each = [case["gigabytes_per_s"] for case in cases]
    return Seen(speed(sum(each)), sum(each),
                "%d pairs: %s" % (half, json.dumps(each)), {"cases": cases})


def _halves_in_one(bench, count, op, _tcpx, plan):
    """The same by one session of one process, which has all GPUs."""
    if count < 4:
        raise Skipped("fewer than four GPUs")
    answer = run_json(
        [bench.program("halves"), "--op", op, "--rounds", str(plan.rounds),
         "--round-ms", "%d" % (plan.round_s * 1000)], 300, bench.env())
    figure = statistics.median(answer["GBps"])
    return Seen(speed(figure), figure, "%d pairs: %s" % (
        answer["pairs"], json.dumps(answer["each_GBps"])), answer)


# ---- the table ------------------------------------------------------------------

def _at_once_name(at_once):
    return "x%d" % at_once if at_once > 1 else ""


def _at_once_text(at_once):
    return ", %d at a time" % at_once if at_once > 1 else ""


def all_rows(bench, cores, count):
    rows, part = [], functools.partial

    def add(name, text, sign, target, unit, measure):
        rows.append(Row(name, text, sign, target, unit, measure))

    # Raw TCP and NCCL are measured with more queued behind each transfer, so
    # 64 MiB, which end soon, are measured so, too.
    sizes = (("64M", 1), ("64M", 4), ("1G", 1))
    for op in ("write", "read"):
        for size, at_once in sizes:
            text = "GPU to GPU, %s %s%s, best setting" % (
                op.upper(), size, _at_once_text(at_once))
            name = "gpu-%s-%s%s" % (op, size, _at_once_name(at_once))
            case = bench, cores, op, size, at_once
            add(name, text, ">=", 45, "GB/s", part(_best_speed, *case))
            add(name + "-raw", text + ", least of raw, PCIe", ">=", 0.85, "x",
                part(_best_ratio, *case))
            add(name + "-nccl", text + ", NCCL's best of 3", ">=", 5, "x",
                part(_against_nccl, *case))
    for flows in (0, 1, 2, 4, 8):
        add("gpu-ring-%s" % (flows or "defaults"),
            "the same, %s" % ("%d flows" % flows if flows else "defaults"),
            ">=", 0.85, "x raw loop", part(_against_ring, bench, flows, False))
    add("gpu-ring-both", "both directions at once, defaults", ">=", 0.85,
        "x raw loop", part(_against_ring, bench, 0, True))
    for op in ("write", "read"):
        add("gpu-%s-100000x4K" % op, "%s 100,000 x 4 KiB, shuffled" %
            op.upper(), ">=", 0.80, "x own 64 MiB",
            part(_pieces, bench, cores, op, "4K", 100000))
        add("gpu-%s-65536x256" % op, "%s 65,536 x 256 B, shuffled" %
            op.upper(), ">=", 5, "GB/s",
            part(_pieces_speed, bench, cores, op, "256", 65536))
    for wait, how, note in (("auto", "", ""), ("spin", "-spin",
                                               ", polled without end")):
        add("gpu-64K" + how, "64 KiB and notification, one way" + note, "<=",
            32, "us", part(_one_way, bench, "64K", wait, {}))
        add("gpu-8" + how, "8 B and notification, one way" + note, "<=", 25,
            "us", part(_one_way, bench, "8", wait, {}))
        add("gpu-8-resident" + how, "the same, resident kernel" + note, "<=",
            15, "us", part(_one_way, bench, "8", wait,
                           {"TCPX_GPU_RESIDENT": "yes"}))
    for pieces, target in (("4096", 0.95), ("16_to_4096", 0.90),
                           ("256", 0.70), ("1_to_4096_unaligned", None),
                           ("4096_pages", None), ("128_to_4096_lines", None),
                           ("4096_in_order", None),
                           ("16_to_4096_in_order", None)):
        add("unpack-" + pieces, "unpack 64 MiB in pieces of %s B" %
            pieces.replace("_", " "), ">=" if target else "", target,
            "x device copy", part(_unpack, bench, pieces))
    for way, target in (("to_device", 50), ("from_device", 50),
                        ("both", None)):
        add("staging-" + way, "pinned memory, device: %s" %
            way.replace("_", " "), ">=" if target else "", target, "GB/s",
            part(_staging, bench, way))
    for by in ("kernel", "engine", "resident"):
        add("flag-%s-8" % by, "8 B from the device until the flag is seen, %s"
            % by, "", None, "us",
            part(_latency, bench, by, "from_device", 8))
    for best, how, note in ((False, "", "defaults"),
                            (True, "-best", "best setting")):
        for size, at_once in sizes:
            add("gpu-cpu-%s%s%s" % (size, _at_once_name(at_once), how),
                "CPU time of %s WRITE%s, %s" % (size, _at_once_text(at_once),
                                                note), "<=", 1.3, "x",
                part(_cpu, bench, cores, best, size, at_once))
    add("gpu-held-device", "device memory a session takes", "<=", 64, "MiB",
        part(_held, bench, "gpu_device_bytes"))
    add("gpu-held-pinned", "pinned memory a session takes", "<=", 512, "MiB",
        part(_held, bench, "gpu_pinned_bytes"))
    for op in ("write", "read"):
        add("gpu-halves-" + op, "all pairs of the two halves at once, %s, a "
            "process each" % op.upper(), "", None, "GB/s",
            part(_halves, bench, count, op))
        add("gpu-halves-one-" + op, "the same, one process for all, %s" %
            op.upper(), "", None, "GB/s",
            part(_halves_in_one, bench, count, op))
    return rows
