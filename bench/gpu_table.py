"""All of the GPU's rows on one card in one go, peers included: gpu_llama_cpp.py, gpu_answering.py, then gpu_training.py --whole. Some ten minutes
on an H100; --quick, without the thesis' whole trainings: four.

    gpu_table.py [--engines build/cuda/bench] [--llama-bench BIN] [--peers PEERS.json] [--steps 5] [--quick] [--dry]

Answering's peer is llama.cpp, measured first if its llama-bench is given, or what PEERS.json holds. What fails is told and does not keep the rest
from being measured; the exit code is 1 then. Needs what the three need.
"""
import argparse
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="build/cuda/bench")
    parser.add_argument("--llama-bench")
    parser.add_argument("--peers")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()

    def run(script: str, more: list[str]) -> bool:
        return subprocess.run([sys.executable, os.path.join(HERE, script), *more]).returncode == 0

    def ours(script: str, engine: str, more: list[str]) -> bool:
        return run(script, ["--engine", os.path.join(arguments.engines, engine), *more] + ["--dry"] * arguments.dry)

    done, peers = [], arguments.peers
    with tempfile.TemporaryDirectory() as folder:
        if arguments.llama_bench:
            made = os.path.join(folder, "peers.json")
            done.append(run("gpu_llama_cpp.py", ["--llama-bench", arguments.llama_bench, "--out", made]))
            peers = made if os.path.exists(made) else None
        done.append(ours("gpu_answering.py", "gpu_answering", ["--peers", peers] if peers else []))
    done.append(ours("gpu_training.py", "gpu_training", ["--steps", str(arguments.steps)] + ["--whole"] * (not arguments.quick)))
    sys.exit(0 if all(done) else 1)


main()
