#!/usr/bin/env bash
# All that a GPU can say about this repository, in eight minutes at most:
#
#     bash benchmarks/gpu.sh [FOLDER]        writes its CSVs to FOLDER, which is benchmarks unless it is given
#
# It needs this repository and an environment with torch, triton and transformers; PYTHON=... names its interpreter.  It
# checks the kernels against float64 on the device, times their tiles, measures the entropies beside their peers and
# scoring beside a forward pass, and trains a tiny policy.  Flash attention, verl and Liger take part where they are
# installed.  Each part has a budget of seconds and is ended there; what is not measured is one line.
#
# Without a GPU the kernels are checked in Triton's interpreter, and the other parts run small, into a temporary folder.
set -u
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONWARNINGS=ignore
PYTHON=${PYTHON:-python}
END=$((SECONDS + 480))
failed=0

# part SECONDS NAME COMMAND...: run the command for at most so long, and not past the end of the eight minutes.
part() {
  local budget=$1 name=$2 left=$((END - SECONDS)) status
  shift 2
  if ((left < budget)); then budget=$left; fi
  if ((budget < 5)); then echo "not measured: $name: the eight minutes are over"; failed=1; return; fi
  timeout --kill-after=5 "$budget" "$@"
  status=$?
  if ((status == 124 || status == 137)); then echo "not measured: $name: its $budget seconds are over"; failed=1
  elif ((status != 0)); then echo "not measured: $name: it ended with $status, see above"; failed=1
  else echo "done: $name, at second $SECONDS"; fi
}

missing=$("$PYTHON" -c '
import importlib.util
print(" ".join(name for name in ("torch", "triton", "transformers") if importlib.util.find_spec(name) is None))') || exit 1
if [ -n "$missing" ]; then echo "gpu.sh: not installed for $PYTHON: $missing"; exit 1; fi

if "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  out=${1:-benchmarks}
  mkdir -p "$out/entropy"
  entropy() {
    part "$1" "$2" "$PYTHON" -m benchmarks.entropy run --csv "$out/entropy/entropy.csv" --device cuda --seconds 0.5 \
      --shapes qwen3-8b "${@:3}"
  }
  part 90 "kernels against float64" "$PYTHON" -m benchmarks.gpu check --csv "$out/gpu.csv"
  entropy 50 "attention entropy at 8,192 tokens" --parts attention --lengths 8192
  entropy 40 "predictive entropy" --parts predictive --lengths 2048
  part 40 "scoring" "$PYTHON" -m benchmarks.gpu scoring --csv "$out/gpu.csv"
  part 60 "training steps" "$PYTHON" -m benchmarks.gpu train --csv "$out/gpu.csv"
  entropy 40 "attention entropy at 32,768 tokens" --parts attention --lengths 32768
  entropy 50 "a whole forward pass" --parts forward --lengths 4096
  part 110 "tiles" "$PYTHON" -m benchmarks.entropy tune --seconds 90 --csv "$out/entropy/tune-gpu.csv"
else
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
  export TRITON_INTERPRET=1 OMP_NUM_THREADS=1
  part 120 "kernels against float64, in Triton's interpreter on small inputs" "$PYTHON" -m benchmarks.gpu check --csv "$out/gpu.csv"
  part 120 "scoring, small, on the CPU" "$PYTHON" -m benchmarks.gpu scoring --csv "$out/gpu.csv"
  part 120 "training steps, small, on the CPU" "$PYTHON" -m benchmarks.gpu train --csv "$out/gpu.csv"
  for name in "kernels against float64 on the device" "attention entropy beside FlashAttention" \
    "predictive entropy beside verl's linear_cross_entropy and Liger" "scoring on the device" "training steps on the device" \
    "a whole forward pass" "tiles"; do echo "not measured: $name: no GPU"; done
fi
exit $failed
