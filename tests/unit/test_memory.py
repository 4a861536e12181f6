"""How memory is taken from the operating system."""

from __future__ import annotations

import platform
import re
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from pipeline.edges.process.memory import keep_large_blocks

keep_large_blocks()
together = threading.Barrier(8)

def work():
    together.wait()
    for _ in range(200):
        bytes(1_200_000)

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_threads_share_one_heap() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True).stdout

    assert len(re.findall(r"<heap nr=", told)) == 1, told[:500]
