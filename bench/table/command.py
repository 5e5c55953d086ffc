# SPDX-License-Identifier: Apache-2.0
"""Programs run, and what they print taken as JSON."""
import json
import os
import subprocess


class Failed(Exception):
    """It could not be measured; the text says why."""


class Skipped(Exception):
    """Not to be had here; the text says why."""


def environment():
    """The caller's, without settings that would change what is measured."""
    return {k: v for k, v in os.environ.items()
            if not k.startswith(("TCPX_", "UCCL_TCPX_"))}


def run_json(argv, timeout_s=300, env=None):
    """Exit status 77 means skipped, as in the tests."""
    full_env = environment()
    full_env.update(env or {})
    try:
        done = subprocess.run(argv, capture_output=True, text=True,
                              timeout=timeout_s, env=full_env, check=False,
                              stdin=subprocess.DEVNULL)
    except OSError as error:
        raise Skipped("%s: %s" % (argv[0], error.strerror)) from error
    except subprocess.TimeoutExpired as error:
        raise Failed("%s took over %d s" % (argv[0], timeout_s)) from error
    last = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode == 77:
        raise Skipped(last or "not to be had here")
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise Failed("exit status %d, no JSON: %s" %
                     (done.returncode, last)) from error
    return answer


class Tcpx:
    """The command of a build."""

    def __init__(self, build):
        self.path = str(build / "tools" / "tcpx" / "tcpx")
        self.micro_path = str(build / "bench" / "micro")

    def case(self, args, prefix=(), timeout_s=300, env=None):
        """One case of `tcpx perf`: the object docs/json.md describes."""
        answer = run_json([*prefix, self.path, "perf", "--json", *args],
                          timeout_s, env)
        case = answer["cases"][0]
        if case["failure"]:
            raise Failed(case["failure"])
        if case["checked"] and not case["verified"]:
            raise Failed("wrong bytes")
        return case

    def raw(self, args):
        return run_json([self.path, "raw", "--json", *args])

    def micro(self, args):
        return run_json([self.micro_path, *args])
