"""PyTorch's times for the shapes of `maquette bench kernels`, on the first CUDA device.

Every case is captured into a CUDA graph and replayed, so only device time counts. f16, random inputs.
"""
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

DEVICE, DTYPE = "cuda", torch.float16
CALLS, REPLAYS, REGIONS = 20, 10, 7


def seconds(call):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            call()
    start, end = torch.cuda.Event(True), torch.cuda.Event(True)
    times = []
    for _ in range(REGIONS):
        start.record()
        for _ in range(REPLAYS):
            graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / CALLS / REPLAYS)
    return sorted(times)[REGIONS // 2]


def report(name, time, work, unit):
    scale, label = (1e12, "TFLOP/s") if unit == "flop" else (1e9, "GB/s")
    print(f"torch {name:<44} {time * 1e6:>9.1f} µs {work / time / scale:>9.1f} {label}", flush=True)


def normal(*shape, scale=1.0):
    return torch.randn(*shape, device=DEVICE, dtype=DTYPE) * scale


def main():
    print("torch", torch.__version__, torch.cuda.get_device_name())
    for m, n, k in [(4096, 1024, 1024), (4096, 3072, 1024), (4096, 4096, 1024), (4096, 1024, 4096)]:
        x, w, b = normal(m, k), normal(n, k, scale=k**-0.5), normal(n)
        report(f"linear {m}x{n}x{k}", seconds(lambda: F.linear(x, w, b)), 2 * m * n * k, "flop")
    for q, k, dim in [(4096, 4096, 64), (4096, 1374, 64), (4096, 4096, 32), (4096, 4096, 128)]:
        a, b, c = normal(1, 16, q, dim), normal(1, 16, k, dim), normal(1, 16, k, dim)
        for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
            try:
                with sdpa_kernel(backend):
                    time = seconds(lambda: F.scaled_dot_product_attention(a, b, c))
                report(f"attention {q}x{k}, 16x{dim} {backend.name.lower()}", time, 4 * q * k * 16 * dim, "flop")
            except RuntimeError as error:
                print("torch attention", backend.name, "is not available:", str(error)[:80])
    x, scale, shift = normal(4096, 1024), normal(1, 1024), normal(1, 1024)

    @torch.compile
    def modulated(x, scale, shift):
        return (F.layer_norm(x.float(), (1024,), eps=1e-6) * (1 + scale.float()) + shift.float()).to(x.dtype)

    modulated(x, scale, shift)
    report("layer norm + modulate 4096x1024", seconds(lambda: modulated(x, scale, shift)), 4 * x.numel(), "byte")


with torch.no_grad():
    main()
