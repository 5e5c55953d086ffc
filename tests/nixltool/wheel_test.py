#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: wheel_test.py WHEELS TCPX PLUGIN EXAMPLE CACHE

What a user does: NIXL from the package registry in a clean virtual
environment, our wheel beside it, a transfer between two processes, and away
with it; then the same by `tcpx nixl`. TAP. The environment and what was
downloaded stay in CACHE for the next run.
"""
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import traceback

NIXL = "nixl-cu12==1.5.1"
WHEELS, TCPX, PLUGIN, EXAMPLE, CACHE = sys.argv[1:6]
VENV = os.path.join(CACHE, "venv")
DOWNLOADS = os.path.join(CACHE, "downloads")
PYTHON = os.path.join(VENV, "bin", "python")
SLOW = max(1, int(os.environ.get("TEST_SLOW") or 1))


class Failed(Exception):
    """A check did not hold."""


def check(holds, *what):
    if not holds:
        raise Failed(" ".join(str(one) for one in what))


def run(*command, status=0, timeout=120):
    """Output of a program, both kinds; its exit status must be the wanted."""
    done = subprocess.run(command, capture_output=True, text=True,
                          timeout=timeout * SLOW)
    text = done.stdout + done.stderr
    check(done.returncode == status, *command, "exit status",
          done.returncode, "\n" + text)
    return text


def pip(*arguments, timeout=300):
    return run(PYTHON, "-m", "pip", "-q", "--disable-pip-version-check",
               *arguments, timeout=timeout)


# ---- the environment --------------------------------------------------------

def make_venv():
    """None, or why there can be none."""
    if os.path.exists(os.path.join(CACHE, "ready")):
        return None
    shutil.rmtree(CACHE, ignore_errors=True)
    try:
        run(sys.executable, "-m", "venv", VENV)
        pip("download", "--timeout", "20", "--retries", "2", "--no-deps",
            "--only-binary", ":all:", "-d", DOWNLOADS, NIXL, "numpy")
        pip("install", "--no-deps", "--no-index", *downloaded(""))
    except (Failed, subprocess.TimeoutExpired) as failure:
        print(failure, file=sys.stderr)
        return "no virtual environment with %s: pip or venv failed" % NIXL
    with open(os.path.join(CACHE, "ready"), "w", encoding="utf-8"):
        return None


def downloaded(start):
    return sorted(glob.glob(os.path.join(DOWNLOADS, start + "*.whl")))


def site():
    return glob.glob(os.path.join(VENV, "lib", "python3*", "site-packages"))[0]


def tidy():
    """What an earlier run may have left behind."""
    if glob.glob(os.path.join(site(), "tcpx_p2p-*.dist-info")):
        pip("uninstall", "-y", "tcpx-p2p")
    for name in ("libplugin_TCPX.so*", ".libplugin_TCPX.json"):
        for path in glob.glob(os.path.join(
                site(), ".nixl_cu12.mesonpy.libs", "plugins", name)):
            os.unlink(path)


def files():
    """Everything installed, folders too, but for what Python caches."""
    found = []
    for folder, names, plain in os.walk(site()):
        names[:] = [n for n in names if n != "__pycache__"]
        found += [os.path.join(folder, n) for n in names + plain]
    found += glob.glob(os.path.join(VENV, "bin", "*"))
    return sorted(found)


def state(tool, *arguments, status=0):
    """The one installation that `tcpx nixl` finds, as it tells."""
    done = subprocess.run([tool, "nixl", *arguments, "--json"],
                          capture_output=True, text=True, timeout=120 * SLOW)
    check(done.returncode == status, tool, *arguments, "exit status",
          done.returncode, done.stdout, done.stderr)
    found = json.loads(done.stdout)["installations"]
    check(len(found) == 1, "not one installation:", found)
    return found[0]


# ---- a transfer -------------------------------------------------------------

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def transfer():
    """The example, as two processes; both must end well."""
    port = str(free_port())
    common = ["--port", port, "--bytes", str(8 << 20), "--pieces", "512",
              "--parameter", "ifnames=lo"]
    server = subprocess.Popen([PYTHON, "-u", EXAMPLE] + common,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    try:
        seen = ""
        while "waiting on port" not in seen:
            line = server.stdout.readline()
            check(line, "the server ended:", seen)
            seen += line
        said = run(PYTHON, EXAMPLE, "127.0.0.1", *common)
        check("every byte is right" in said, said)
        rest, _ = server.communicate(timeout=60 * SLOW)
        check(server.returncode == 0 and "written: " in rest, seen + rest)
    finally:
        server.kill()
        server.wait()


PATHS_PROGRAM = """
import importlib, sys, numpy
api = importlib.import_module("nixl_cu12._api")
agent = api.nixl_agent("looked-at", api.nixl_agent_config(backends=[]))
agent.create_backend("TCPX", {"ifnames": "lo"})
peer = api.nixl_agent("other", api.nixl_agent_config(backends=[]))
peer.create_backend("TCPX", {"ifnames": "lo"})
agent.add_remote_agent(peer.get_agent_metadata())
agent.make_connection("other", ["TCPX"])
agent.send_notif("other", b"hello")
while not peer.get_new_notifs():
    pass
print("connected", flush=True)
sys.stdin.read()
"""


def described(folder):
    """What `tcpx nixl paths` says while the program lives."""
    env = dict(os.environ, TCPX_DESCRIBE_DIR=folder)
    program = subprocess.Popen([PYTHON, "-c", PATHS_PROGRAM], env=env,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    try:
        line = ""
        while line != "connected\n":
            line = program.stdout.readline()
            check(line, "the program ended")
        deadline = time.monotonic() + 10 * SLOW
        while time.monotonic() < deadline:
            found = json.loads(run(TCPX, "nixl", "paths", "--json", "--dir",
                                   folder))["processes"]
            mine = [one for one in found if one["agent"] == "looked-at"]
            if mine and mine[0]["peers"]:
                return program.pid, mine[0], found
            time.sleep(0.1)
        raise Failed("no description within 10 s")
    finally:
        program.kill()
        program.wait()


# ---- the cases --------------------------------------------------------------

def wheel_installs():
    pip("install", "--no-index", *glob.glob(os.path.join(WHEELS, "*.whl")))
    mine = state(os.path.join(VENV, "bin", "tcpx"), "status")
    check(mine["by"] == "wheel" and mine["supported"], mine)
    check(mine["loads"] and "DRAM" in mine["memories"]
          and "VRAM" in mine["memories"], mine)
    check(mine["current"], "the wheel's own plugin is another one:", mine)


def wheel_transfers():
    transfer()


def wheel_describes():
    folder = os.path.join(CACHE, "describe")
    shutil.rmtree(folder, ignore_errors=True)
    pid, mine, found = described(folder)
    check(mine["pid"] == pid and len(found) == 2, found)
    check(mine["peers"][0]["name"] == "other", mine)
    pairs = mine["peers"][0]["pairs"]
    check(pairs and pairs[0]["transport"] == "socket", mine)
    left = json.loads(run(TCPX, "nixl", "paths", "--json", "--dir", folder))
    check(not left["processes"] and not os.listdir(folder),
          "left after its death:", left, os.listdir(folder))


def nixl_replaced():
    pip("install", "--no-deps", "--no-index", "--force-reinstall",
        *downloaded("nixl"))
    check(state(TCPX, "status", "--python", PYTHON)["loads"],
          "a new NIXL lost the plugin")


def wheel_leaves_nothing(before):
    pip("uninstall", "-y", "tcpx-p2p")
    after = files()
    check(after == before, "left or lost:",
          sorted(set(after) ^ set(before)))
    state(TCPX, "status", "--python", PYTHON, status=1)


def command_does_the_same(before):
    named = ("--python", PYTHON, "--plugin", PLUGIN)
    check(state(TCPX, "install", *named)["done"] == "installed", "install")
    check(state(TCPX, "install", *named)["done"] == "unchanged", "again")
    transfer()
    mine = state(TCPX, "remove", "--python", PYTHON)
    check(mine["done"] == "removed", mine)
    after = files()
    check(after == before, "left or lost:",
          sorted(set(after) ^ set(before)))


def main():
    why = make_venv()
    before = None
    if not why:
        tidy()
        before = files()
    cases = [
        ("wheel_installs", wheel_installs),
        ("wheel_transfers", wheel_transfers),
        ("wheel_describes", wheel_describes),
        ("nixl_replaced", nixl_replaced),
        ("wheel_leaves_nothing", lambda: wheel_leaves_nothing(before)),
        ("command_does_the_same", lambda: command_does_the_same(before)),
    ]
    print("1..%d" % len(cases))
    failed = 0
    for number, (name, case) in enumerate(cases, 1):
        if why:
            print("ok %d - %s # SKIP %s" % (number, name, why))
            continue
        try:
            case()
            print("ok %d - %s" % (number, name), flush=True)
        except Exception:  # whatever it is, the next case shall run
            failed += 1
            traceback.print_exc()
            print("not ok %d - %s" % (number, name), flush=True)
    return failed > 0


sys.exit(main())
