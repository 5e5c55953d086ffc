# SPDX-License-Identifier: Apache-2.0
"""What a figure depends on besides the code: the machine, and its state."""
import datetime
import os
import pathlib
import platform
import subprocess


def _read(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _cpu_model():
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _caches():
    found = {}
    for index in pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob(
            "index*"):
        level, kind = _read(index / "level"), _read(index / "type")
        if level and kind != "Instruction":
            found["L" + level] = _read(index / "size")
    return " ".join("%s %s" % item for item in sorted(found.items()))


def _memory_gib():
    first = (_read("/proc/meminfo") or "MemTotal: 0 kB").splitlines()[0]
    return round(int(first.split()[1]) / 2 ** 20, 1)


def _virtual():
    flags = " %s " % (_read("/proc/cpuinfo") or "").replace("\n", " ")
    return " hypervisor " in flags


def load():
    """Of the last minute. Above about 0.5 others were at work too."""
    return round(os.getloadavg()[0], 2)


def describe():
    tcp = "/proc/sys/net/ipv4/tcp_"
    return {
        "date": datetime.datetime.now().astimezone().isoformat(
            timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "virtual_machine": _virtual(),
        "caches": _caches(),
        "memory_gib": _memory_gib(),
        "kernel": platform.release(),
        "tcp_rmem": _read(tcp + "rmem"),
        "tcp_wmem": _read(tcp + "wmem"),
        "congestion_control": _read(tcp + "congestion_control"),
        "load_before": load(),
    }


def commit(root):
    """The commit measured, with '-changed' if the tree is not it."""
    def git(*args):
        return subprocess.run(["git", "-C", str(root), *args], text=True,
                              capture_output=True, check=True).stdout.strip()
    try:
        changed = git("status", "--porcelain", "--", "src", "include",
                      "tools", "meson.build")
        return git("rev-parse", "--short=12", "HEAD") + (
            "-changed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
