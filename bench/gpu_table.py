"""All of the GPU's rows on one card in one go, peers included: gpu_answering.py, then gpu_training.py --whole. Some ten minutes on an H100.

    gpu_table.py [--engines build/cuda/bench] [--peers PEERS.json] [--steps 5] [--dry]

What fails is told and does not keep the rest from being measured; the exit code is 1 then. Needs what the two need.
"""
import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="build/cuda/bench")
    parser.add_argument("--peers")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()

    def run(script: str, engine: str, more: list[str]) -> bool:
        command = [sys.executable, os.path.join(HERE, script), "--engine", os.path.join(arguments.engines, engine), *more]
        return subprocess.run(command + ["--dry"] * arguments.dry).returncode == 0

    done = [run("gpu_answering.py", "gpu_answering", ["--peers", arguments.peers] if arguments.peers else []),
            run("gpu_training.py", "gpu_training", ["--steps", str(arguments.steps), "--whole"])]
    sys.exit(0 if all(done) else 1)


main()
