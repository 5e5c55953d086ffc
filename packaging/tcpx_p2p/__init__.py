# SPDX-License-Identifier: Apache-2.0
"""The NIXL backend TCPX, and the command tcpx.

Installing this package puts the plugin where the NIXL of the same Python
looks for plugins, so there is nothing to import: create the backend "TCPX".
"""
import os
import sys

from ._version import __version__

_HERE = os.path.dirname(os.path.abspath(__file__))


def plugin_file():
    """Path of the plugin, for a NIXL that lives elsewhere."""
    return os.path.join(_HERE, "libplugin_TCPX.so")


def command_file():
    """Path of the program behind the command tcpx."""
    return os.path.join(_HERE, "tcpx")


def main():
    """The command tcpx; `tcpx nixl` is about this Python's NIXL."""
    os.environ.setdefault("TCPX_NIXL_PYTHON", sys.executable)
    os.execv(command_file(), ["tcpx"] + sys.argv[1:])
