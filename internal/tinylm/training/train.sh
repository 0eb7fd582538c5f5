#!/bin/sh
# Trains batholith.tiny-v1 from nothing and puts the file and its goldens in place. Needs Debian's python3-torch and
# libopenblas0-pthread, two cores and an hour or so; run again after a crash, it goes on where it was.
#
#   internal/tinylm/training/train.sh [DIRECTORY FOR THE STATE]
set -eu
out=${1:-/tmp/batholith-tiny}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-/usr/bin/python3}
"$python" "$here/train.py" "$out"
"$python" "$here/evaluate.py" golden "$out/state.pt" "$here/../testdata/golden.json"
cp "$out/tiny-v1.gguf" "$here/../tiny-v1.gguf"
sha256sum "$here/../tiny-v1.gguf"
