"""cpu.memory.triage05: peak memory of `deskhand triage` on the sample desk against llama.cpp answering a prompt of the same length.

    cpu_memory_triage.py --llama-bench BIN --model FILE.gguf --desk DESK [--deskhand build/release/deskhand]

The desk is one that `deskhand demo` made. Both are whole processes; the peak is what the kernel reports for the finished process.
"""
import argparse
import os
import subprocess
import tempfile

from measurement import record


def peak_mib(command: list[str]) -> float:
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{command[0]} failed with status {status}")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--desk", required=True)
    parser.add_argument("--deskhand", default="build/release/deskhand")
    arguments = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("Invoice run SOP310 hangs at 60 percent and the post goes at noon.\nA supplier's invoice does not match in POP305 by three pence.\n")
        file.flush()
        ours = peak_mib([arguments.deskhand, "--desk", arguments.desk, "--threads", "2", "--quiet", "triage", file.name])
    peer = peak_mib([arguments.llama_bench, "-m", arguments.model, "-t", "2", "-p", "700", "-n", "100", "-r", "1"])
    record("cpu.memory.triage05", ours, "MiB", "llama.cpp (llama-bench -p 700 -n 100)", peer, ours / peer, limit="1.5", note="ours holds the encoder, the cases and the index too")


main()
