#!/usr/bin/env bash
# run.sh FOLDER [SECONDS]: builds the fuzz targets in FOLDER with clang 15 or newer and runs each for SECONDS (60). What is found lies in
# FOLDER/findings. Exit status 77: there is no such clang here.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$1 seconds=${2:-60}
compiler=
for name in clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15; do
  command -v "$name" > /dev/null || continue
  [ "$("$name" -dumpversion | cut -d. -f1)" -ge 15 ] || continue
  echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    "$name" -x c++ - -fsanitize=fuzzer,address -o /dev/null 2> /dev/null && compiler=$name && break
done
[ -n "$compiler" ] || { echo "no clang++ with libFuzzer (15 or newer; Debian: clang-16 libclang-rt-16-dev)"; exit 77; }
cmake -S "$here" -B "$folder" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" > /dev/null
cmake --build "$folder" > "$folder/build.log" || { tail -40 "$folder/build.log"; exit 1; }
mkdir -p "$folder/findings"
for format in xlsx csv jsonl eml; do
  mkdir -p "$folder/corpus/$format"
  echo "$format:"
  "$folder/${format}_fuzz" -max_total_time="$seconds" -max_len=20000 -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$folder/findings/$format-" \
    -print_final_stats=1 "$folder/corpus/$format" "$here/corpus/$format" > "$folder/$format.log" 2>&1 || { tail -40 "$folder/$format.log"; exit 1; }
  grep -E 'number_of_executed_units|peak_rss_mb' "$folder/$format.log"
done
