#!/usr/bin/env python3
"""Writes tests/golden/onnx/*.json: operator tests of the ONNX project, for `pipe` to agree with.

    pip install onnx==1.23.2
    python3 tests/golden/operators.py

They are the backend tests of ONNX 1.12.0 (Apache-2.0), taken from its wheel; Debian's package libonnx-testdata 1.12.0-2 holds the same
bytes. Numbers are written in the shortest form that gives the same float32 again.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import onnx
from onnx import numpy_helper

OUT = pathlib.Path(__file__).parent / "onnx"
SHA256 = "9fd2f4e23078df197bb76a59b9cd8f5a43a6ad2edc035edb3ecfb9042093e05a"
# Of the cases of cross-entropy the variants that also give the logarithms of the probabilities; the others are the same without them.
# The largest ones, of three and five spatial dimensions, add nothing to the others.
LARGE = ("d1d2d3_none", "d1d2d3d4d5")
WANTED = {
    "cross_entropy": lambda name: name.startswith("test_sce_") and name.endswith("_log_prob"),
    "nll": lambda name: name.startswith("test_nllloss_") and not name.endswith("_expanded"),
    "batch_norm": lambda name: name.startswith("test_batchnorm_") and name.endswith("_training_mode"),
    "optimizers": lambda name: name.startswith(("test_momentum", "test_nesterov_momentum", "test_adam")),
    "dropout": lambda name: name.startswith("test_training_dropout") and name.endswith("_mask"),
}


def wheel(folder):
    """The archive, checked."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
         "--python-version", "3.10", "--abi", "cp310", "--platform", "manylinux_2_17_x86_64", "--dest", folder, "onnx==1.12.0"],
        check=True,
    )
    (path,) = pathlib.Path(folder).glob("*.whl")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{path.name} has sha256 {found}, pinned is {SHA256}")
    return zipfile.ZipFile(path)


def short(number):
    """The Python number that prints as the float32 does."""
    return float(str(number)) if number.dtype.kind == "f" else int(number)


def array(data):
    array = numpy_helper.to_array(onnx.TensorProto.FromString(data))
    return {"shape": list(array.shape), "data": [short(number) for number in array.ravel()]}


def attribute(value):
    value = onnx.helper.get_attribute_value(value)
    return value.decode() if isinstance(value, bytes) else value


def case(archive, folder):
    (node,) = onnx.ModelProto.FromString(archive.read(f"{folder}/model.onnx")).graph.node
    data = {}
    for kind, names in [("inputs", node.input), ("outputs", node.output)]:
        files = [f"{folder}/test_data_set_0/{kind[:-1]}_{i}.pb" for i in range(len(names))]
        data[kind] = {name: array(archive.read(file)) for name, file in zip(names, files)}
    # Attributes are float32 too.
    attributes = {a.name: float(f"{attribute(a):.7g}") if a.type == a.FLOAT else attribute(a) for a in node.attribute}
    return {"op": node.op_type, "attributes": attributes, **data}


def text(cases):
    """JSON with a line for each tensor."""
    blocks = []
    for name, case in cases.items():
        lines = [f'"op": {json.dumps(case["op"])}, "attributes": {json.dumps(case["attributes"])}']
        for kind in ["inputs", "outputs"]:
            tensors = ",\n    ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in case[kind].items())
            lines.append(f'"{kind}": {{\n    {tensors}}}')
        blocks.append(f'"{name}": {{\n  ' + ",\n  ".join(lines) + "}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main():
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        archive = wheel(folder)
        models = sorted(path for path in archive.namelist() if path.endswith("/model.onnx") and "/data/node/" in path)
        folders = {path.split("/")[-2]: path.rsplit("/", 1)[0] for path in models if not any(large in path for large in LARGE)}
        for file, wanted in WANTED.items():
            cases = {name.removeprefix("test_"): case(archive, path) for name, path in folders.items() if wanted(name)}
            (OUT / f"{file}.json").write_text(text(cases))


if __name__ == "__main__":
    main()
