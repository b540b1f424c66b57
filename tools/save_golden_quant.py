"""Writes tests/golden/quant/TYPE.bin: random bytes as blocks of each GGUF type, and what the `gguf` package reads in them.

A file holds 4 rows of 512 weights: the blocks, then the 2048 weights as little-endian f32. packed_TYPE.bin: normal weights first, then the blocks
that the package makes of them. Run: python tools/save_golden_quant.py
"""
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants

ROWS, WIDTH = 4, 512
# Where a block holds its 16-bit floats: random bits there would give infinities.
HALVES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2],
          Type.Q6_K: [208]}
SIZES = {Type.Q4_0: (32, 18), Type.Q4_1: (32, 20), Type.Q5_0: (32, 22), Type.Q5_1: (32, 24), Type.Q8_0: (32, 34), Type.Q4_K: (256, 144),
         Type.Q5_K: (256, 176), Type.Q6_K: (256, 210)}


def main() -> None:
    folder = Path(__file__).parent.parent / "tests" / "golden" / "quant"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    for kind, offsets in HALVES.items():
        elements, size = SIZES[kind]
        blocks = random.integers(0, 256, (ROWS * WIDTH // elements, size), dtype=np.uint8)
        for offset in offsets:
            halves = random.normal(0, 0.01, len(blocks)).astype(np.float16)
            blocks[:, offset:offset + 2] = halves.view(np.uint8).reshape(-1, 2)
        rows = blocks.reshape(ROWS, -1)
        weights = quants.dequantize(rows, kind).astype("<f4")
        (folder / f"{kind.name.lower()}.bin").write_bytes(rows.tobytes() + weights.tobytes())
    weights = random.normal(0, 1, (ROWS, WIDTH)).astype("<f4")
    weights[1, 32:64] = 0
    for kind in (Type.Q4_0, Type.Q8_0):
        (folder / f"packed_{kind.name.lower()}.bin").write_bytes(weights.tobytes() + quants.quantize(weights, kind).tobytes())


main()
