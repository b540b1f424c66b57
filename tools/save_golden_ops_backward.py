"""Writes tests/golden/ops/backward.bin: inputs, outputs and gradients of the decoder's ops as PyTorch has them, from float32 inputs in
float64; AdamW and clipping in float32, as they are used.

An entry is a name (32 bytes, filled up with zeros), the number of values (little-endian i64) and the values (f32).
Run: python tools/save_golden_ops_backward.py
"""
from pathlib import Path

import torch
import torch.nn.functional as F

entries: dict[str, torch.Tensor] = {}


def save(group: str, **tensors: torch.Tensor) -> None:
    for name, tensor in tensors.items():
        entries[f"{group}.{name}"] = tensor.detach()


def random(*shape: int, scale: float = 1) -> torch.Tensor:
    return (torch.randn(*shape) * scale).double().requires_grad_()


def rms_norm() -> None:
    x, weight, d_out = random(5, 24), random(24), random(5, 24)
    out = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight
    out.backward(d_out)
    save("rms_norm", x=x, weight=weight, d_out=d_out, out=out, d_x=x.grad, d_weight=weight.grad)


def swiglu() -> None:
    gate, up, d_out = random(5, 17, scale=3), random(5, 17), random(5, 17)
    (F.silu(gate) * up).backward(d_out)
    save("swiglu", gate=gate, up=up, d_out=d_out, d_gate=gate.grad, d_up=up.grad)


def rope() -> None:
    """transformers.models.llama.modeling_llama: rotate_half, positions 0..3."""
    x, d_out = random(4, 2, 8), random(4, 2, 8)
    angle = torch.outer(torch.arange(4).double(), 10000.0 ** (-torch.arange(0, 8, 2).double() / 8))
    cosine, sine = (torch.cat([f(angle)] * 2, -1)[:, None, :] for f in (torch.cos, torch.sin))
    (x * cosine + torch.cat([-x[..., 4:], x[..., :4]], -1) * sine).backward(d_out)
    save("rope", d_out=d_out, d_x=x.grad, cosine=angle.cos(), sine=angle.sin())


def attention() -> None:
    q, k, v, d_out = random(12, 4, 8), random(12, 2, 8), random(12, 2, 8), random(12, 4, 8)
    outs, sums = [], []
    for first, last in ((0, 5), (5, 12)):
        heads = [t[first:last].transpose(0, 1) for t in (q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1))]
        outs.append(F.scaled_dot_product_attention(*[h[None] for h in heads], is_causal=True)[0].transpose(0, 1))
        scores = heads[0] @ heads[1].transpose(1, 2) / 8**0.5
        hidden = torch.ones(last - first, last - first).triu(1).bool()
        sums.append(scores.masked_fill(hidden, -torch.inf).logsumexp(-1).T)
    out = torch.cat(outs)
    out.backward(d_out)
    save("attention", q=q, k=k, v=v, d_out=d_out, out=out, logsumexp=torch.cat(sums), d_q=q.grad, d_k=k.grad, d_v=v.grad)


def linear() -> None:
    x, weight, bias, d_out = random(7, 24), random(10, 24), random(10), random(7, 10)
    F.linear(x, weight, bias).backward(d_out)
    save("linear", x=x, weight=weight, d_out=d_out, d_x=x.grad, d_weight=weight.grad, d_bias=bias.grad)


def lora() -> None:
    x, a, b, d_out = random(7, 24), random(3, 24), random(10, 3), random(7, 10)
    out = 2 * F.linear(F.linear(x, a), b)
    out.backward(d_out)
    save("lora", x=x, a=a, b=b, d_out=d_out, out=out, d_x=x.grad, d_a=a.grad, d_b=b.grad)


def embed() -> None:
    table, d_out = random(11, 6), random(5, 6)
    F.embedding(torch.tensor([10, 3, 3, 0, 10]), table).backward(d_out)
    save("embed", d_out=d_out, d_table=table.grad)


def head_loss() -> None:
    """Divided by 9 target tokens of the step, of which this pass has 6."""
    hidden, weight = random(6, 24), random(50, 24, scale=0.5)
    targets = torch.tensor([0, 49, 7, 7, 23, 1])
    logits = F.linear(hidden, weight)
    targets[2] = logits[2].argmax()
    loss = F.cross_entropy(logits, targets, reduction="sum")
    (loss / 9).backward()
    chances = logits.log_softmax(-1)
    entropy, correct = -(chances.exp() * chances).sum(), (logits.argmax(-1) == targets).sum()
    save("head", hidden=hidden, weight=weight, targets=targets, d_hidden=hidden.grad, d_weight=weight.grad,
         sums=torch.stack([loss, entropy, correct.double()]))


def adamw() -> None:
    """Ten steps of two groups, the second without decay, gradients clipped to a norm of 4."""
    groups = [torch.randn(30).requires_grad_(), torch.randn(9).requires_grad_()]
    optimizer = torch.optim.AdamW([{"params": groups[:1], "weight_decay": 0.1}, {"params": groups[1:], "weight_decay": 0.0}],
                                  lr=1e-2, betas=(0.9, 0.98), eps=1e-6)
    gradients, norms, weights = [], [], [torch.cat(groups).detach().clone()]
    for step in range(10):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / 10)
        for group in groups:
            group.grad = torch.randn(len(group)) * (1.5 if step % 2 else 0.1)
        gradients.append(torch.cat([group.grad for group in groups]))
        norms.append(torch.nn.utils.clip_grad_norm_(groups, 4.0))
        optimizer.step()
        weights.append(torch.cat(groups).detach().clone())
    save("adamw", gradients=torch.stack(gradients), norms=torch.stack(norms), weights=torch.stack(weights))


def main() -> None:
    torch.manual_seed(1)
    for group in (rms_norm, swiglu, rope, attention, linear, lora, embed, head_loss, adamw):
        group()
    path = Path(__file__).parent.parent / "tests" / "golden" / "ops" / "backward.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for name, tensor in entries.items():
            values = tensor.float().contiguous().numpy().astype("<f4")
            file.write(name.encode().ljust(32, b"\0") + values.size.to_bytes(8, "little") + values.tobytes())


main()
