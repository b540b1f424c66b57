"""PyTorch's attention on the sizes of attention_cuda_bench, bf16: FlashAttention-2 and cuDNN behind scaled_dot_product_attention for equal
lengths, varlen_attn for uneven ones. Prints microseconds and TFLOP/s, forward and backward."""
import random
import statistics
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


def tickets(tokens, least, most):
    rng, lengths = random.Random(7), []
    while tokens > 0:
        lengths.append(min(tokens, rng.randint(least, most)))
        tokens -= lengths[-1]
    return lengths


def seconds_of(call, budget=0.3):
    call()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    repeats = max(1, int(budget / 5 / ((time.perf_counter() - began) / 3)))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(repeats):
            call()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - began) / repeats)
    return statistics.median(times)


def equal_call(backend, count, length, heads, groups, width, causal):
    tensors = [torch.randn(count, h, length, width, device="cuda", dtype=torch.bfloat16) for h in (heads, groups, groups, heads)]
    q, k, v = (t.requires_grad_() for t in tensors[:3])

    def forward():
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)

    return q, k, v, tensors[3], forward


def uneven_call(lengths, heads, groups, width, causal):
    from torch.nn.attention.varlen import varlen_attn

    rows = sum(lengths)
    q, d_out = (torch.randn(rows, heads, width, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    # varlen_attn wants as many key heads as query heads in some versions: grouped first, repeated if that is refused.
    k, v = (torch.randn(rows, groups, width, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    bounds = torch.tensor([0] + list(torch.tensor(lengths).cumsum(0)), device="cuda", dtype=torch.int32)

    def run(q, k, v):
        try:
            return varlen_attn(q, k, v, bounds, bounds, max(lengths), max(lengths), is_causal=causal)
        except TypeError:
            return varlen_attn(q, k, v, bounds, bounds, max(lengths), max(lengths), window_size=(-1, 0) if causal else (-1, -1))

    try:
        run(q, k, v)
    except Exception:  # repeated heads
        k, v = (t.repeat_interleave(heads // groups, 1) for t in (k, v))
    for t in (q, k, v):
        t.requires_grad_()
    return q, k, v, d_out, lambda: run(q, k, v)


def main():
    print(f"PyTorch {torch.__version__}")
    flash, cudnn = SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION
    cases = [
        ("8 x 1024", [1024] * 8, 32, 8, 128, True),
        ("8 x 1024, not causal", [1024] * 8, 32, 8, 128, False),
        ("1 x 8192", [8192], 32, 8, 128, True),
        ("tickets of 100 to 400", tickets(8192, 100, 400), 32, 8, 128, True),
        ("8 tickets of 110 to 160", tickets(1080, 110, 160), 32, 8, 128, True),
        ("8 x 1024, heads of 64", [1024] * 8, 14, 2, 64, True),
    ]
    for name, lengths, heads, groups, width, causal in cases:
        pairs = sum(n * (n + 1) / 2 if causal else n * n for n in lengths)
        flops = 4e-12 * heads * width * pairs
        ways = {"varlen": None} if len(set(lengths)) > 1 else {"flash": flash, "cudnn": cudnn}
        for way, backend in ways.items():
            try:
                if backend is None:
                    q, k, v, d_out, forward = uneven_call(lengths, heads, groups, width, causal)
                else:
                    q, k, v, d_out, forward = equal_call(backend, len(lengths), lengths[0], heads, groups, width, causal)
                ahead = seconds_of(forward)
                out = forward()
                back = seconds_of(lambda: torch.autograd.grad(out, (q, k, v), d_out, retain_graph=True))
                print(f"{name:26} {way:7} {ahead * 1e6:9.1f} {flops / ahead:9.1f} {back * 1e6:9.1f} {2.5 * flops / back:9.1f}")
            except Exception as reason:
                print(f"{name:26} {way:7} {str(reason).splitlines()[0][:90]}")


main()
