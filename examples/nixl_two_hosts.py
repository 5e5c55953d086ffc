#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Moves memory between two hosts by NIXL's backend TCPX.

On the one host:      python nixl_two_hosts.py
On the other:         python nixl_two_hosts.py HOST-OF-THE-FIRST

The second writes into the first's memory, with a notification, reads it back
and compares. --gpu N takes memory of that GPU (needs torch) instead of the
host's. Both find each other by one TCP connection of this program's own, on
--port, over which NIXL's metadata travels: metadata holds the secret that
lets a peer in, so in real life use a channel that you trust.
"""
import argparse
import contextlib
import importlib
import json
import socket
import struct
import sys
import time

import numpy as np

WAIT_S = 30


def nixl_api():
    """The API of whichever NIXL is installed."""
    for package in ("nixl_cu12", "nixl_cu13", "nixl"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(package + "._api")
    sys.exit("no NIXL here: pip install nixl")


class Memory:
    """Bytes of the host, or of a GPU."""

    def __init__(self, size, gpu):
        self.size = size
        self.gpu = gpu
        if gpu is None:
            # Written to, or the first transfer would wait for the pages.
            self.array = np.full(size, 255, np.uint8)
            self.kind, self.device = "DRAM", 0
            self.address = self.array.ctypes.data
        else:
            import torch  # only for --gpu
            self.torch = torch
            self.array = torch.full((size,), 255, dtype=torch.uint8,
                                    device="cuda:%d" % gpu)
            self.kind, self.device = "VRAM", gpu
            self.address = self.array.data_ptr()
            torch.cuda.synchronize(gpu)

    def set(self, data):
        if self.gpu is None:
            self.array[:] = data
            return
        self.array.copy_(self.torch.from_numpy(data))
        # What NIXL reads must have been written.
        self.torch.cuda.synchronize(self.gpu)

    def get(self):
        return self.array if self.gpu is None else self.array.cpu().numpy()

    def pieces(self, count):
        """(address, length, device) of count equal pieces."""
        each = self.size // count
        return [(self.address + i * each, each, self.device)
                for i in range(count)]


def open_agent(api, name, memory, parameters):
    """An agent with our backend alone, and its registered memory."""
    agent = api.nixl_agent(name, api.nixl_agent_config(backends=[]))
    agent.create_backend("TCPX", parameters)
    registered = agent.register_memory(
        [(memory.address, memory.size, memory.device, "")], memory.kind,
        backends=["TCPX"])
    return agent, registered


def put(connection, data):
    connection.sendall(struct.pack("!I", len(data)) + data)


def take(connection):
    def exactly(count):
        data = b""
        while len(data) < count:
            part = connection.recv(count - len(data))
            if not part:
                sys.exit("the other side is gone")
            data += part
        return data
    return exactly(struct.unpack("!I", exactly(4))[0])


def wait_for_note(agent, peer, wanted, unread):
    """Nobody needs to poll for data to arrive, only to learn of it. One call
    may bring several notifications: unread keeps those of later interest."""
    deadline = time.monotonic() + WAIT_S
    while wanted not in unread:
        if time.monotonic() > deadline:
            sys.exit("no notification within %d s" % WAIT_S)
        unread += agent.get_new_notifs().get(peer, [])
        time.sleep(0.001)
    unread.remove(wanted)


def move(agent, op, local, remote, peer, note):
    """One transfer, begun to done. Returns the seconds it took."""
    handle = agent.initialize_xfer(op, local, remote, peer, note)
    begin = time.monotonic()
    state = agent.transfer(handle)
    while state == "PROC":
        state = agent.check_xfer_state(handle)
    took = time.monotonic() - begin
    agent.release_xfer_handle(handle)
    if state != "DONE":
        sys.exit("%s failed: %s" % (op, state))
    return took


def serve(api, options, parameters):
    memory = Memory(options.bytes, options.gpu)
    agent, registered = open_agent(api, "server", memory, parameters)
    with socket.create_server(("", options.port)) as listener:
        print("waiting on port %d" % options.port, flush=True)
        connection, address = listener.accept()
    with connection:
        print("%s is here" % address[0], flush=True)
        peer = agent.add_remote_agent(take(connection)).decode()
        put(connection, agent.get_agent_metadata())
        put(connection, json.dumps(
            [memory.kind, memory.pieces(options.pieces)]).encode())
        unread = []
        wait_for_note(agent, peer, b"written", unread)
        print("written: the sum of all bytes is %d"
              % memory.get().sum(dtype=np.uint64))
        wait_for_note(agent, peer, b"read", unread)
        put(connection, b"goodbye")
    agent.remove_remote_agent(peer)
    agent.deregister_memory(registered)


def connect(api, options, parameters):
    memory = Memory(options.bytes, options.gpu)
    agent, registered = open_agent(api, "client", memory, parameters)
    with socket.create_connection((options.host, options.port),
                                  WAIT_S) as connection:
        put(connection, agent.get_agent_metadata())
        peer = agent.add_remote_agent(take(connection)).decode()
        kind, pieces = json.loads(take(connection))
        pieces = [tuple(piece) for piece in pieces]
        # Connecting has begun with the metadata; this only says early that it
        # cannot work. It does not wait.
        agent.make_connection(peer, ["TCPX"])
        local = agent.get_xfer_descs(memory.pieces(len(pieces)), memory.kind)
        remote = agent.get_xfer_descs(pieces, kind)

        data = np.random.default_rng().integers(
            0, 256, memory.size, dtype=np.uint8)
        memory.set(data)
        for op, note in (("WRITE", b"written"), ("READ", b"read")):
            if op == "READ":
                memory.set(np.zeros_like(data))
            took = move(agent, op, local, remote, peer, note)
            print("%-5s %d bytes in %d pieces: %.3f GB/s"
                  % (op, memory.size, len(pieces), memory.size / took / 1e9))
        same = np.array_equal(memory.get(), data)
        take(connection)
    agent.remove_remote_agent(peer)
    agent.deregister_memory(registered)
    print("every byte is right" if same else "bytes are WRONG")
    return 0 if same else 1


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("host", nargs="?", help="none: be the first host")
    parser.add_argument("--port", type=int, default=7175)
    parser.add_argument("--bytes", type=int, default=64 << 20)
    parser.add_argument("--pieces", type=int, default=1024)
    parser.add_argument("--gpu", type=int)
    parser.add_argument("--parameter", action="append", default=[],
                        metavar="NAME=VALUE", help="of the backend: ifnames, "
                        "port, flows, advertise, ... (docs/nixl.md)")
    options = parser.parse_args()
    parameters = dict(one.split("=", 1) for one in options.parameter)
    role = connect if options.host else serve
    return role(nixl_api(), options, parameters)


if __name__ == "__main__":
    sys.exit(main())
