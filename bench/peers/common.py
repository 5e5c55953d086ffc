# SPDX-License-Identifier: Apache-2.0
"""What the scripts here share. Each prints one JSON object: name, how, and
cases: GB/s by name (of "notify 8": microseconds one way), null where the
program cannot do it. Exit status 77 and a line on stderr: not to be had."""
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

QUICK = "--quick" in sys.argv
ROUNDS = 3
ROUND_S = 0.2 if QUICK else 0.6
PIECES = 16384
SIZES = (("64M", 64 << 20, 1), ("1M", 1 << 20, 1),
         ("16384x4K", 4096, PIECES), ("16384x256", 256, PIECES))
AREA = PIECES * 4096 * 2
INSTALL_LIMIT_S = 600


def skip(why):
    print(why, file=sys.stderr)
    sys.exit(77)


def enter_venv(name, *installs):
    """Goes on inside a virtual environment of its own under the temporary
    directory; makes it the first time. installs: arguments of pip install."""
    place = pathlib.Path(tempfile.gettempdir()) / "tcpx-bench-peers" / name
    python = place / "bin" / "python"
    if pathlib.Path(sys.prefix) == place:
        return
    try:
        if not (place / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)],
                           check=True, capture_output=True, timeout=120)
            for args in installs:
                subprocess.run([str(python), "-m", "pip", "install", "-q",
                                *args], check=True, capture_output=True,
                               timeout=INSTALL_LIMIT_S)
            (place / "complete").touch()
    except (OSError, subprocess.SubprocessError) as error:
        skip("cannot be installed: %s" % error)
    os.execv(python, [str(python), *sys.argv])


def layout(numpy, size, pieces):
    """Where the pieces are in an area, on this and on that side."""
    rng = numpy.random.default_rng(size)
    holes = 2 if pieces > 1 else 1
    return [rng.permutation(pieces) * size * holes for _ in range(2)]


def same(numpy, source, sink, size, offsets):
    """Whether every byte of every piece has arrived."""
    a, b = offsets
    if len(a) == 1:
        return numpy.array_equal(source[:size], sink[:size])
    return numpy.array_equal(source.reshape(-1, size)[a // size],
                             sink.reshape(-1, size)[b // size])


def speed(transfer, bytes_each):
    """Median GB/s of some rounds of transfers, one at a time."""
    transfer()
    values = []
    for _ in range(ROUNDS):
        n, begin = 0, time.perf_counter()
        while n == 0 or time.perf_counter() - begin < ROUND_S:
            transfer()
            n += 1
        values.append(n * bytes_each / (time.perf_counter() - begin) / 1e9)
    return round(statistics.median(values), 4)


def two_processes(near, far):
    """near(pipe) here, far(pipe) in a process of its own; near's answer."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=far, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        return near(mine)
    except EOFError:
        skip("the other process ended with %s" % process.exitcode)
    finally:
        process.terminate()
        process.join()


def answer(name, how, cases):
    print(json.dumps({"name": name, "how": how, "cases": cases}, indent=1),
          flush=True)
    os._exit(0)  # some libraries do not survive their own destructors
