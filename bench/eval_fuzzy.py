"""eval.fuzzy: token_set_ratio of pairs of resolutions of 100 to 200 words (the sample desk's) by rapidfuzz's C++ and by deskhand in turn.

    eval_fuzzy.py --rapidfuzz-cpp FOLDER [--build build/release] [--pairs 4000] [--rounds 15]

FOLDER holds rapidfuzz/fuzz.hpp: extern/rapidfuzz-cpp of rapidfuzz's source distribution. Needs deskhand_text built, and g++.
"""
import argparse
import json
import random
import subprocess
import tempfile
from pathlib import Path

from measurement import median, record

ROOT = Path(__file__).resolve().parent.parent


def resolutions() -> list[str]:
    found = []
    for path in sorted((ROOT / "sample/source").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = " || ".join(activity["x"] for activity in json.loads(line)["activities"][1:])
            if 100 <= len(text.split()) <= 200:
                found.append(text)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rapidfuzz-cpp", required=True)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()

    texts = resolutions()
    chance = random.Random(42)
    pairs = [chance.sample(texts, 2) for _ in range(arguments.pairs)]
    with tempfile.TemporaryDirectory() as folder:
        program, data = Path(folder) / "fuzzy_speed", Path(folder) / "pairs.json"
        data.write_text(json.dumps(pairs))
        libraries = [str(path) for room in ("text", "base") for path in Path(arguments.build).rglob(f"libdeskhand_{room}.a")]
        subprocess.run(["g++", "-std=c++20", "-O3", "-DNDEBUG", f"-I{ROOT}", f"-I{arguments.rapidfuzz_cpp}", str(ROOT / "bench/fuzzy_speed.cpp"), "-o", str(program),
                        *libraries, "-lfmt", "-licui18n", "-licuuc", "-lpcre2-8", "-lsqlite3", "-lcrypto", "-lpthread"], check=True)
        found = json.loads(subprocess.run([str(program), str(data), str(arguments.rounds)], capture_output=True, text=True, check=True).stdout)
    assert found["worst"] < 1e-9, f"the values differ by {found['worst']}: not the same work"
    ours, peer = median(found["ours"]), median(found["peer"])
    ratios = [a / b for a, b in zip(found["ours"], found["peer"])]
    kept = median(found["ours_prepared"]) / median(found["peer_prepared"])
    record("eval.fuzzy", ours, "pairs/s", "rapidfuzz-cpp -O3", peer, ours / peer,
           note=f"{len(pairs)} pairs of {len(texts)} resolutions of 100 to 200 words, 1 thread, processor time, {arguments.rounds} rounds in turn, ratios {min(ratios):.2f} to "
                f"{max(ratios):.2f}; ours decodes UTF-8, the peer gets decoded strings; one reference kept: {kept:.2f}")


main()
