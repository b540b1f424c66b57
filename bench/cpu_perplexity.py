"""cpu.perplexity.qwen05: perplexity of the same GGUF file on the same text by llama-perplexity and by `deskhand perplexity`, windows of 512.

    cpu_perplexity.py --llama-perplexity BIN --model FILE.gguf --text FILE.txt [--deskhand build/release/deskhand]
"""
import argparse
import json
import re
import subprocess

from measurement import record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-perplexity", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--deskhand", default="build/release/deskhand")
    arguments = parser.parse_args()
    found = subprocess.run([arguments.llama_perplexity, "-m", arguments.model, "-f", arguments.text, "-c", "512", "-b", "512", "-t", "2"], capture_output=True, text=True, check=True)
    peer = float(re.search(r"Final estimate: PPL = ([0-9.]+)", found.stdout + found.stderr).group(1))
    found = subprocess.run([arguments.deskhand, "--threads", "2", "--json", "perplexity", arguments.model, arguments.text], capture_output=True, text=True, check=True)
    ours = json.loads(found.stdout)
    record("cpu.perplexity.qwen05", ours["perplexity"], "perplexity", "llama.cpp", peer, ours["perplexity"] / peer, limit="1.01", note=f"{ours['tokens']} tokens counted")


main()
