#!/usr/bin/env bash
# Measures this machine's NVIDIA GPU: parity, training, engines beside their floors, Triton.
# Writes perf/results/<card>-<date>.{json,md} and ends within ten minutes; needs no network.
# Without a GPU, or with --dry-run, it runs everything on the CPU at tiny sizes.
#
#   perf/gpu_check.sh [--dry-run] [--results FOLDER]
#
# PYTHON names the interpreter; else the checkout's .venv, else python3. penchant itself need not be
# installed: the checkout's sources are used.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

python=${PYTHON:-}
if [ -z "$python" ]; then
    python=python3
    if [ -x "$root/.venv/bin/python" ]; then python=$root/.venv/bin/python; fi
fi
for component in perf training serving clients; do
    PYTHONPATH=$root/$component/src${PYTHONPATH:+:$PYTHONPATH}
done
export PYTHONPATH
if ! "$python" -c 'import importlib.metadata as m; m.version("penchant")' 2>/dev/null; then
    # Reports name penchant's version, which is otherwise known where it is installed.
    named=$(mktemp -d)
    trap 'rm -rf "$named"' EXIT
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml")
    mkdir "$named/penchant-$version.dist-info"
    printf 'Metadata-Version: 2.1\nName: penchant\nVersion: %s\n' "$version" \
        >"$named/penchant-$version.dist-info/METADATA"
    PYTHONPATH=$PYTHONPATH:$named
fi
"$python" -m penchant.perf.gpu_check --results "$root/perf/results" "$@"
