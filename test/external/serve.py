"""The simulated server as a program: ADDRESS PORT KEY."""

import sys
import threading

from upstream import Upstream

server = Upstream(key=sys.argv[3], address=(sys.argv[1], int(sys.argv[2])))
threading.Event().wait()
