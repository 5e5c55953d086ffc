# SPDX-License-Identifier: Apache-2.0
"""A NIXL that is too old refuses the plugin in words, and lives on."""
import ctypes
import importlib
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from user_test import only_tap, stand_in_for_torch  # noqa: E402


def main():
    tap = only_tap()
    stand_in_for_torch()
    api = importlib.import_module("nixl_cu12._api")
    refused = False
    print("1..1", file=tap)
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            agent = api.nixl_agent("a", api.nixl_agent_config(backends=[]))
            agent.create_backend("TCPX", {})
        except Exception:  # of which class differs by version
            refused = True
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 2)
        said.seek(0)
        text = said.read().decode()
    sys.stderr.write(text)
    good = refused and "older than 1.0.0" in text and "1.0.0 to 1.5.1" in text
    print("ok 1 - refused" if good else "not ok 1 - refused", file=tap)
    tap.flush()
    os._exit(not good)


main()
