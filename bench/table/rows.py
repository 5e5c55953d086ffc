# SPDX-License-Identifier: Apache-2.0
"""The rows: large and small transfers, round trips, calls, idle sessions."""
import functools
import socket
import subprocess
import time

from table.command import Failed, Skipped, environment, run_json
from table.row import Row, Seen, from_pairs, in_turn, micros, speed


# ---- against raw TCP, in one run of the command -------------------------

def _perf_args(plan, args):
    return ["--self", *args, "--rounds", str(plan.rounds), "--duration",
            "%dms" % (plan.rounds * plan.round_s * 1000)]


def _against_raw(args, tcpx, plan):
    case = tcpx.case([*_perf_args(plan, args), "--ceiling"])
    return Seen(speed(case["gigabytes_per_s"]), case["ratio"],
                "raw " + speed(case["ceiling_gigabytes_per_s"]), case)


def _ping_pong(wait, tcpx, plan):
    case = tcpx.case([*_perf_args(plan, ["--notify", "--wait", wait]),
                      "--ceiling"])
    seen = Seen(micros(case["p50_us"]), case["ratio"],
                "raw " + micros(case["ceiling_p50_us"]), case)
    seen.figure += " (p99 %s)" % micros(case["p99_us"])
    return seen


def _stream_row(op, size, flows, outstanding, target):
    text = "%s %siB, %d flow%s" % (op.upper(), size[:-1] + " " + size[-1],
                                   flows, "s" if flows > 1 else "")
    name = "%s-%s-%df" % (op, size, flows)
    args = ["--op", op, "--size", size, "--flows", str(flows)]
    if outstanding:
        text += ", %d at a time" % outstanding
        name += "-%dx" % outstanding
        args += ["--outstanding", str(outstanding)]
    return Row(name, text, ">=", target, "x raw",
               functools.partial(_against_raw, args))


def _stream_rows():
    rows = [_stream_row(op, size, flows, 0, target)
            for flows, target in ((1, 0.95), (2, 0.90))
            for size in ("64M", "1G") for op in ("write", "read")]
    rows += [_stream_row(op, "1M", 1, outstanding, target)
             for outstanding, target in ((8, 0.95), (1, 0.80))
             for op in ("write", "read")]
    return rows


# ---- many pieces, against one of our own --------------------------------

def _own(tcpx, plan, args):
    """A process of its own each time: nothing is left over from the other."""
    case = tcpx.case(["--self", *args, "--rounds", "1", "--duration",
                      "%dms" % (plan.round_s * 1000)])
    return case["gigabytes_per_s"]


def _pieces(op, size, flows, tcpx, plan):
    common = ["--op", op, "--flows", str(flows)]
    return from_pairs(in_turn(
        lambda: _own(tcpx, plan, [*common, "--size", size, "--segments",
                                  "16384"]),
        lambda: _own(tcpx, plan, [*common, "--size", "64M"]), plan.rounds),
        "64 MiB")


def _pieces_row(op, size, flows, target):
    return Row("%s-16384x%s-%df" % (op, size, flows),
               "%s 16,384 x %s, shuffled, %d flow%s" % (
                   op.upper(), {"4K": "4 KiB", "256": "256 B"}[size], flows,
                   "s" if flows > 1 else ""),
               ">=", target, "x own 64 MiB",
               functools.partial(_pieces, op, size, flows))


# ---- single calls, idle sessions -----------------------------------------

@functools.lru_cache(maxsize=None)
def _micro(tcpx, what, quick):
    return tcpx.micro((["--quick"] if quick else []) + [what])[what]


def _dig(figures, path):
    for key in path.split("."):
        figures = figures[key]
    return figures


def _micro_figure(what, path, form, detail, tcpx, plan):
    figures = _micro(tcpx, what, plan.quick)
    value = _dig(figures, path)
    return Seen(form % value, value,
                ", ".join("%s " % label + inner % _dig(figures, key)
                          for label, inner, key in detail), figures)


def _micro_row(name, text, target, unit, what, path, form, detail=()):
    return Row(name, text, "<=" if target is not None else "", target, unit,
               functools.partial(_micro_figure, what, path, form, detail))


def _call_rows():
    return [
        _micro_row("post-list", "post a list of 1,000,000 segments, right "
                   "after the last was done", 1000, "ns",
                   "calls", "list.post_after_done_ns.p50", "%.0f ns",
                   [("one segment", "%.0f ns",
                     "single.post_after_done_ns.p50")]),
        _micro_row("post-list-idle", "the same after 5 ms of idleness (workers "
                   "asleep)", 1000, "ns", "calls",
                   "list.post_after_idle_ns.p50", "%.0f ns",
                   [("one segment", "%.0f ns",
                     "single.post_after_idle_ns.p50"),
                    ("first post", "%.0f ns", "list.first_post_ns.p50")]),
        _micro_row("prepare-list", "prepare it, shuffled", 20, "ns a segment",
                   "calls", "list.prepare_ns_a_segment.p50",
                   "%.1f ns a segment",
                   [("one segment", "%.0f ns", "single.prepare_ns.p50")]),
        _micro_row("prepare-regions", "prepare one whose segments are of 256 "
                   "regions, in any order", 20, "ns a segment", "calls",
                   "regions.prepare_ns_a_segment.p50", "%.1f ns a segment"),
        _micro_row("test-done", "test, of a transfer that is done", 50, "ns",
                   "calls", "test_done.p50_ns", "%.1f ns"),
        _micro_row("test-in-flight", "test, of one in flight, the status "
                   "read alone", 50, "ns", "calls", "test_in_flight.p50_ns",
                   "%.1f ns",
                   [("visits included", "%.0f ns", "test_in_flight.mean_ns")]),
        _micro_row("test-driving", "the same without workers: test moves the "
                   "bytes", None, "ns", "calls",
                   "without_workers.test_in_flight.p50_ns", "%.1f ns",
                   [("a visit", "%.0f ns",
                     "without_workers.test_in_flight.visit_mean_ns"),
                    ("share of time", "%.2f",
                     "without_workers.test_in_flight.visit_share")]),
        _micro_row("poll-empty", "poll for notifications, none there", None,
                   "ns", "calls", "notify_poll_empty.p50_ns", "%.1f ns",
                   [("visits included", "%.0f ns",
                     "notify_poll_empty.mean_ns")]),
        _micro_row("release", "release in flight", 1000000, "ns", "calls",
                   "release_in_flight_ns.p50", "%.0f ns",
                   [("at most", "%.0f ns", "release_in_flight_ns.max"),
                    ("1,000,000 segments, done", "%.0f ns",
                     "list.release_ns.p50")]),
        _micro_row("beside", "8 B WRITE beside 1 GiB to the same peer: p99 "
                   "of the larger of 1 ms and 5 x its idle latency", 1, "",
                   "beside", "p99_of_bound", "%.2f",
                   [("alone", "%.0f ns", "alone_ns.p50"),
                    ("beside", "%.0f ns", "beside_ns.p50"),
                    ("p99", "%.0f ns", "beside_ns.p99"),
                    ("p99 of raw TCP beside raw TCP", "%.0f ns",
                     "raw_ns.p99"),
                    ("the large one meanwhile", "%.1f GB/s",
                     "large_gigabytes_per_s")]),
    ]


def _crowd_rows():
    return [
        _micro_row("idle", "idle session, 8 peers", 0.3, "% of a core",
                   "idle", "core_percent", "%.3f %%",
                   [("wake-ups", "%.0f/s", "wakeups_per_s")]),
        _micro_row("peers-memory", "1,024 idle peers: memory of each", 65536,
                   "bytes", "peers", "bytes_per_peer", "%.0f bytes",
                   [("idle CPU", "%.2f %%", "core_percent")]),
        _micro_row("peers-connect", "1,024 peers connected", 20, "s", "peers",
                   "connected_s", "%.2f s"),
    ]


# ---- is the ceiling a weak opponent? -------------------------------------

def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _iperf3_once(port):
    """Its server may be busy for a while with the end of the test before."""
    for _ in range(50):
        answer = run_json(["iperf3", "-c", "127.0.0.1", "-p", str(port),
                           "-t", "1", "-J"])
        if "error" not in answer:
            return answer["end"]["sum_received"]["bits_per_second"] / 8e9
        time.sleep(0.1)
    raise Failed("iperf3: " + answer["error"])


def _raw_hot(tcpx, plan):
    """iperf3 moves one buffer of 128 KiB to and fro; so does this."""
    port = _free_port()
    try:
        server = subprocess.Popen(
            ["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment())
    except OSError as error:
        raise Skipped("iperf3 is not installed") from error
    try:
        time.sleep(0.5)
        pairs = in_turn(
            lambda: tcpx.raw(["--size", "128K", "--io", "128K", "--rounds",
                              "1", "--duration", "1s"])["gigabytes_per_s"],
            lambda: _iperf3_once(port), plan.rounds)
    finally:
        server.terminate()
        server.wait()
    return from_pairs(pairs, "iperf3")


def all_rows():
    return [
        *_stream_rows(),
        *[_pieces_row(op, size, 1, target)
          for size, target in (("4K", 0.80), ("256", 0.50))
          for op in ("write", "read")],
        *[Row("notify-" + wait, "8 B WRITE + notification, one way, " + text,
              "<=", 1.3, "x raw", functools.partial(_ping_pong, wait))
          for wait, text in (("spin", "spinning"), ("block", "sleeping"))],
        *_call_rows(),
        *_crowd_rows(),
        Row("raw-iperf3", "the raw loop itself, hot buffer", ">=", 0.95,
            "x iperf3", _raw_hot),
    ]
