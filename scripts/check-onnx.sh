#!/usr/bin/env bash
# @file Builds a few bundles and holds them against ONNX's own checker.
#
# Wants `npm run build` done and Python 3 with pip; the package onnx goes into a virtual environment of its own, kept in
# node_modules/.cache. Where it can't be installed this says so, and fails if CI is set.
set -euo pipefail
cd "$(dirname "$0")/.."

onnx=onnx==1.23.2
environment=node_modules/.cache/check-onnx
python=$environment/bin/python

if ! "$python" -c 'import onnx' 2>/dev/null; then
  rm -rf "$environment"
  if ! { python3 -m venv "$environment" && "$python" -m pip install --quiet --disable-pip-version-check "$onnx"; }; then
    echo "left out: ONNX's own checker over written bundles ($onnx could not be installed with python3 -m venv and pip)"
    rm -rf "$environment"
    [ -z "${CI:-}" ]
    exit
  fi
fi

bundles=$(mktemp -d)
trap 'rm -rf "$bundles"' EXIT

build() {
  local name=$1
  shift
  node dist/cli/main.js build "$@" -o "$bundles/$name" >"$bundles/log" 2>&1 || { cat "$bundles/log"; return 1; }
}

build cifar --depth 40
build uneven --block-config 3,1,2 --growth-rate 5 --compression 0.7 --bn-size 2 --classes 7 --image-size 22
build dropout --block-config 2,2 --drop-rate 0.2 --image-size 16 --channels 1
build plain-sgd --block-config 2 --momentum 0 --weight-decay 0 --no-nesterov --image-size 9
build imagenet --block-config 2,1 --no-small-inputs --image-size 41
build densenet121 --arch densenet121
build webgpu --depth 22 --drop-rate 0.1 --target webgpu
build cuda --depth 22 --drop-rate 0.1 --target cuda

"$python" scripts/check-onnx.py "$bundles"/*/

# Python's onnxruntime is a peer that may be missing; what it would show is then left out.
onnxruntime=onnxruntime==1.32.0
if ! "$python" -c 'import onnxruntime' 2>/dev/null && ! "$python" -m pip install --quiet --disable-pip-version-check "$onnxruntime"; then
  echo "left out: an exported model in Python's onnxruntime ($onnxruntime could not be installed)"
  exit
fi
for bundle in cifar imagenet; do
  weights=$bundles/$bundle/initial.safetensors
  node scripts/make-batch.mjs "$bundles/$bundle" "$bundles/$bundle.safetensors"
  node dist/cli/main.js export "$bundles/$bundle" --weights "$weights" -o "$bundles/$bundle.onnx" >/dev/null 2>&1
  node dist/cli/main.js predict "$bundles/$bundle.onnx" --batch "$bundles/$bundle.safetensors" --top 1000 --json |
    "$python" scripts/check-export.py "$bundles/$bundle.onnx" "$bundles/$bundle.safetensors"
done
