"""eval.text10k: every measure of 10 000 answered tickets with 2 000 bootstrap resamples, no model, on 2 threads. The limit is 20 s.

    eval_text10k.py [--build build/release] [--rounds 3]

Truths and answers are resolutions of the sample desk (sample/source), drawn at random.
"""
import argparse
import json
import subprocess
from pathlib import Path

from measurement import median, record

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 20


def resolutions() -> list[str]:
    found = []
    for path in sorted((ROOT / "sample/source").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            found.append(" || ".join(" ".join(activity["x"].split()) for activity in json.loads(line)["activities"][1:]))
    return [text for text in found if text]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    program = next(Path(arguments.build).rglob("text10k_speed"))
    runs = [json.loads(subprocess.run([str(program), "10000", "2"], input="\n".join(resolutions()), capture_output=True, text=True, check=True).stdout)
            for _ in range(arguments.rounds)]
    seconds = [run["seconds"] for run in runs]
    record("eval.text10k", median(seconds), "s", "limit", LIMIT_S, median(seconds) / LIMIT_S, limit=LIMIT_S,
           note=f"10 000 tickets of {runs[0]['mean_words']:.0f} words a resolution, all measures with intervals, 2 threads, {len(runs)} rounds, {min(seconds):.1f} to {max(seconds):.1f} s")


main()
