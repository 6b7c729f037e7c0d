"""The other side of `resize.rs`: takes pictures on stdin, resizes them with Pillow, answers on stdout.

Requests: a line `picture MODE W H OUT_W OUT_H` and the bytes, answered by the resized bytes; a line `time N`, answered by the nanoseconds
of the fastest of N resizes of the last picture.
"""

import sys
import time

import PIL
from PIL import Image

stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
stdout.write(f"{PIL.__version__}\n".encode())
stdout.flush()
image = size = None
while line := stdin.readline().split():
    if line[0] == b"picture":
        mode, (w, h, *size) = line[1].decode(), map(int, line[2:])
        image = Image.frombytes(mode, (w, h), stdin.read(w * h * len(mode)))
        size = tuple(size)
        stdout.write(image.resize(size, Image.Resampling.LANCZOS).tobytes())
    else:
        best = None
        for _ in range(int(line[1])):
            begin = time.perf_counter_ns()
            image.resize(size, Image.Resampling.LANCZOS)
            spent = time.perf_counter_ns() - begin
            best = spent if best is None else min(best, spent)
        stdout.write(f"{best}\n".encode())
    stdout.flush()
