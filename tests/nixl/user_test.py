# SPDX-License-Identifier: Apache-2.0
"""The backend as a Python program uses it: NIXL's own interface for Python,
two processes. Prints TAP."""
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
import types

LEN = 1 << 22
BACKEND = "TCPX"
DEADLINE_S = 20 * int(os.environ.get("TEST_SLOW", "1"))


def only_tap():
    """What NIXL prints to standard output goes elsewhere; returns a file for
    the TAP."""
    tap = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return tap


def stand_in_for_torch():
    """NIXLs before 1.4 import torch and then only compare types with it."""
    torch = types.ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})
    torch.device = type("device", (), {})
    sys.modules.setdefault("torch", torch)


stand_in_for_torch()
import numpy  # noqa: E402
api = importlib.import_module("nixl_cu12._api")
bindings = importlib.import_module("nixl_cu12._bindings")


class Side:
    def __init__(self, name, **params):
        self.name = name
        self.agent = api.nixl_agent(name, api.nixl_agent_config(backends=[]))
        self.agent.create_backend(BACKEND, params)
        self.memory = numpy.zeros(LEN, numpy.uint8)
        self.agent.register_memory(
            [(self.memory.ctypes.data, LEN, 0, "")], "DRAM",
            backends=[BACKEND])

    def introduction(self):
        return self.agent.get_agent_metadata(), self.memory.ctypes.data

    def rows(self, base, size, n):
        rows = numpy.zeros((n, 3), numpy.uint64)
        rows[:, 0] = base + numpy.arange(n, dtype=numpy.uint64) * 2 * size
        rows[:, 1] = size
        return self.agent.get_xfer_descs(rows, "DRAM")

    def handle(self, op, far, size, n, message=b""):
        return self.agent.initialize_xfer(
            op, self.rows(self.memory.ctypes.data, size, n),
            self.rows(far, size, n), "far", message)

    def run(self, handle):
        end = time.monotonic() + DEADLINE_S
        state = self.agent.transfer(handle)
        while state == "PROC" and time.monotonic() < end:
            state = self.agent.check_xfer_state(handle)
        return state

    def note(self):
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            notes = self.agent.get_new_notifs()
            if notes:
                return notes
        return {}


def far_main(pipe):
    """Answers until it is told to stop; it polls only for a note."""
    side = Side("far")
    side.memory[:] = 7
    pipe.send(side.introduction())
    while True:
        what = pipe.recv()
        if what == "note":
            pipe.send(side.note())
        elif what == "memory":
            pipe.send(side.memory.tobytes())
        elif what == "know":
            side.agent.add_remote_agent(pipe.recv())
            side.agent.send_notif("near", b"hello near")
            pipe.send(True)
        else:
            return


class Far:
    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=far_main, args=(other,),
                                       daemon=True)
        self.process.start()
        self.metadata, self.address = self.pipe.recv()

    def ask(self, *what):
        for one in what:
            self.pipe.send(one)
        return self.pipe.recv()

    def end(self):
        self.pipe.send("stop")
        self.process.join()


def plugin_is_listed(near, far):
    del far
    assert BACKEND in near.agent.get_plugin_list()
    assert near.agent.get_plugin_mem_types(BACKEND) == ["DRAM_SEG",
                                                        "VRAM_SEG"]
    params = near.agent.get_plugin_params(BACKEND)
    assert params["liveness_ms"] == "10000", params
    assert near.agent.get_backend_params(BACKEND)["flows"] == "1"


def write_and_read(near, far):
    size, n = 512, 4096
    near.memory[:] = numpy.arange(LEN, dtype=numpy.uint32).astype(numpy.uint8)
    before = near.memory.copy()
    handle = near.handle("WRITE", far.address, size, n, b"sent\0")
    assert near.run(handle) == "DONE"
    near.agent.release_xfer_handle(handle)
    assert far.ask("note") == {"near": [b"sent\0"]}
    there = numpy.frombuffer(far.ask("memory"), numpy.uint8)
    want = numpy.full(LEN, 7, numpy.uint8).reshape(n, 2, size)
    want[:, 0, :] = before.reshape(n, 2, size)[:, 0, :]
    assert (there == want.reshape(LEN)).all()
    near.memory[:] = 0
    handle = near.handle("READ", far.address, size, n)
    assert near.run(handle) == "DONE"
    near.agent.release_xfer_handle(handle)
    want[:, 1, :] = 0
    assert (near.memory == want.reshape(LEN)).all()


def prepared_lists(near, far):
    size, n = 4096, 512
    local = near.agent.prep_xfer_dlist(
        "", near.rows(near.memory.ctypes.data, size, n))
    remote = near.agent.prep_xfer_dlist(
        "far", near.rows(far.address, size, n))
    near.memory[:] = 9
    for first in range(0, n, 128):
        indices = list(range(first, first + 128))[::-1]
        handle = near.agent.make_prepped_xfer(
            "WRITE", local, indices, remote, indices[::-1], b"%d" % first)
        assert near.run(handle) == "DONE"
        assert far.ask("note") == {"near": [b"%d" % first]}
        near.agent.release_xfer_handle(handle)
    there = numpy.frombuffer(far.ask("memory"), numpy.uint8)
    assert (there.reshape(n, 2, size)[:, 0, :] == 9).all()


def notifications(near, far):
    near.agent.send_notif("far", b"")
    assert far.ask("note") == {"near": [b""]}
    assert far.ask("know", near.agent.get_agent_metadata())
    assert near.note() == {"far": [b"hello near"]}


def gone_is_told(near, far):
    """Last: it kills the other process."""
    handle = near.handle("READ", far.address, 1 << 20, 2)
    assert near.run(handle) == "DONE"
    os.kill(far.process.pid, signal.SIGKILL)
    far.process.join()
    try:
        state = near.run(handle)
    except bindings.nixlRemoteDisconnectError:
        state = "disconnected"
    assert state == "disconnected", state
    near.agent.release_xfer_handle(handle)
    try:
        near.agent.remove_remote_agent("far")
    except bindings.nixlNotFoundError:
        pass  # it has been forgotten already
    fresh = Far()
    near.agent.add_remote_agent(fresh.metadata)
    handle = near.handle("READ", fresh.address, 1 << 20, 2)
    assert near.run(handle) == "DONE"
    near.agent.release_xfer_handle(handle)
    assert near.memory[0] == 7
    fresh.end()


CASES = (plugin_is_listed, write_and_read, prepared_lists, notifications,
         gone_is_told)


def main():
    tap = only_tap()
    print("1..%d" % len(CASES), file=tap)
    near, far = Side("near", flows="1"), Far()
    near.agent.add_remote_agent(far.metadata)
    failed = 0
    for number, case in enumerate(CASES, 1):
        try:
            case(near, far)
        except Exception:  # a failed case is one line, others go on
            traceback.print_exc()
            failed += 1
            print("not ", end="", file=tap)
        print("ok %d - %s" % (number, case.__name__), file=tap)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
