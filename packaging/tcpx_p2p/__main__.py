# SPDX-License-Identifier: Apache-2.0
"""python -m tcpx_p2p: the command tcpx."""
from . import main

main()
