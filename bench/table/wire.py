# SPDX-License-Identifier: Apache-2.0
"""The same across a wire: two network namespaces and the tests' relay."""
import contextlib
import functools
import os
import subprocess
import time

from table.command import Failed, Skipped, environment
from table.row import Row, Seen, micros, speed

SECRET = {"TCPX_SECRET": "bench"}
FAR = "10.99.0.2"
MTU = "9000"

# name, in words, options of the relay, flows
WIRES = (
    ("rtt0.2", "0.2 ms", ["--delay", "0.1"], 2),
    ("rtt10", "10 ms", ["--delay", "5"], 2),
    ("rtt10-limit", "10 ms, 400 Mbit/s a flow",
     ["--delay", "5", "--flow-rate", "400M"], 1),
    ("rtt10-limit-4f", "10 ms, 400 Mbit/s a flow",
     ["--delay", "5", "--flow-rate", "400M"], 4),
)

# name, in words, options of the command
CASES = (
    ("write-64M", "WRITE 64 MiB", ["--op", "write"]),
    ("read-64M", "READ 64 MiB", ["--op", "read"]),
    ("write-1M-8x", "WRITE 1 MiB, 8 at a time",
     ["--op", "write", "--size", "1M", "--outstanding", "8"]),
    ("write-16384x4K", "WRITE 16,384 x 4 KiB",
     ["--op", "write", "--size", "4K", "--segments", "16384"]),
    ("notify", "8 B WRITE + notification", ["--notify", "--wait", "block"]),
)


@contextlib.contextmanager
def _process(argv, ready=None, env=None):
    """Runs beside; ended at the end. ready: how its first line begins."""
    full_env = environment()
    full_env.update(env or {})
    process = subprocess.Popen(argv, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.PIPE, env=full_env)
    try:
        if ready and not process.stdout.readline().startswith(ready):
            process.terminate()
            raise Failed("%s: %s" % (argv[0], process.stderr.read().strip()))
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _host():
    """A network namespace, held by a process; gone when that is."""
    with _process(["unshare", "--net", "sh", "-c",
                   "ip link set lo up && echo up && read -r forever"],
                  "up") as holder:
        yield "/proc/%d/ns/net" % holder.pid


@contextlib.contextmanager
def _wire(tcpx, relay, shape):
    """Two hosts, the relay between, the server in one: how to be in the
    other, as the beginning of a command line."""
    with _host() as near, _host() as far, _process(
            [relay, "--a", near + ",tun0,10.99.0.1/24", "--b",
             far + ",tun0,%s/24" % FAR, "--mtu", MTU, *shape],
            "ready"), _process(
                ["nsenter", "--net=" + far, tcpx.path, "perf", "--ifnames",
                 "tun0"], "serving", SECRET):
        time.sleep(0.2)
        yield ["nsenter", "--net=" + near]


def _across(relay, shape, flows, args, tcpx, plan):
    if os.geteuid():
        raise Skipped("network namespaces need root")
    if not os.path.exists(relay):
        raise Skipped("no relay: built without the tests")
    with _wire(tcpx, relay, shape) as inside:
        case = tcpx.case([FAR, *args, "--ifnames", "tun0", "--flows",
                          str(flows), "--ceiling", "--rounds",
                          str(plan.rounds), "--duration",
                          "%dms" % (plan.rounds * plan.round_s * 1000)],
                         prefix=inside, env=SECRET)
    if case["op"] == "notify":
        return Seen(micros(case["p50_us"]), case["ratio"],
                    "raw " + micros(case["ceiling_p50_us"]), case)
    return Seen(speed(case["gigabytes_per_s"]), case["ratio"],
                "raw " + speed(case["ceiling_gigabytes_per_s"]), case)


def all_rows(build):
    relay = str(build / "tests" / "net" / "relay")
    return [Row("%s-%s" % (wire, case), "%s; round trip %s, %d flow%s" % (
                case_text, wire_text, flows, "s" if flows > 1 else ""),
                "", None, "x raw",
                functools.partial(_across, relay, shape, flows, args))
            for wire, wire_text, shape, flows in WIRES
            for case, case_text, args in CASES]
