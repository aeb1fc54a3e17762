"""@file Runs a model that densec exported in Python's onnxruntime, with default options, and compares with densec's own.

    densec predict MODEL --batch BATCH --top K --json | python3 scripts/check-export.py MODEL BATCH

Needs the Python packages onnx and onnxruntime. Exits with 1 if the model isn't valid or a probability differs by more
than 1e-5.
"""
import json
import struct
import sys

import numpy
import onnx
import onnxruntime


def read_images(path):
    """The tensor images of a safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))["images"]
        data = file.read()[slice(*header["data_offsets"])]
    return numpy.frombuffer(data, numpy.float32).reshape(header["shape"])


def main():
    path, batch = sys.argv[1:]
    onnx.checker.check_model(path, full_check=True)
    (domain,) = onnx.load(path).opset_import
    if domain.domain != "":
        sys.exit(f"{path} has operators of the domain {domain.domain}")
    session = onnxruntime.InferenceSession(path)
    logits, probabilities = session.run(None, {"images": read_images(batch)})
    expected = numpy.zeros_like(probabilities)
    for row, prediction in zip(expected, json.load(sys.stdin)["predictions"], strict=True):
        for candidate in prediction["top"]:
            row[candidate["class"]] = candidate["probability"]
    difference = float(abs(probabilities - expected).max())
    print(f"{path}: {logits.shape[0]} images in Python, probabilities differ by {difference:.1e} at most")
    if not difference <= 1e-5:
        sys.exit("more than 1e-5")


main()
