"""@file Holds the models of bundles against ONNX's own checker and against what we promise of every model.

    python3 scripts/check-onnx.py BUNDLE...

Needs the Python package onnx. Prints a line for each model; exits with 1 if any of them is wrong.
"""
import pathlib
import sys

import onnx

OPSETS = (17, 18)
DOMAINS = ("", "com.microsoft")
BATCH_INPUTS = ("images", "labels")


def opset_problems(model):
    imported = {opset.domain: opset.version for opset in model.opset_import}
    if imported.get("") not in OPSETS:
        yield f"opset {imported.get('')} is not one of {OPSETS}"
    for domain in {*imported, *(node.domain for node in model.graph.node)}:
        if domain not in DOMAINS:
            yield f"operators of the domain {domain}, which not every runtime has"
        elif domain not in imported:
            yield f"operators of the domain {domain}, which is not imported"


def batch_problems(model):
    """The batch size must be symbolic, and one and the same, wherever it stands."""
    extents = {}
    for value in model.graph.input:
        if value.name in BATCH_INPUTS:
            extents[value.name] = value.type.tensor_type.shape.dim[0]
    for name in BATCH_INPUTS:
        if name not in extents:
            yield f"there is no input {name}"
        elif not extents[name].dim_param:
            yield f"the batch size of {name} is fixed to {extents[name].dim_value}"
    if len({extent.dim_param for extent in extents.values()}) > 1:
        yield "images and labels name their batch size differently"


def checker_problems(path):
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        yield f"the checker: {error}"


def main():
    bundles = [pathlib.Path(name) for name in sys.argv[1:]]
    if not bundles:
        sys.exit("usage: check-onnx.py BUNDLE...")
    wrong = 0
    for bundle in bundles:
        paths = sorted(bundle.glob("*.onnx"))
        if len(paths) != 2:
            print(f"{bundle.name}: {len(paths)} models, expected training and evaluation")
            wrong += 1
        for path in paths:
            model = onnx.load(path)
            problems = [*opset_problems(model), *batch_problems(model), *checker_problems(path)]
            print(f"{bundle.name}/{path.name}: {len(model.graph.node)} nodes, {'; '.join(problems) or 'ok'}")
            wrong += bool(problems)
    if wrong:
        sys.exit(f"{wrong} wrong")


main()
