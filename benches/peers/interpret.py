"""An ONNX graph as a module of PyTorch: each float initializer is a parameter under its own name, each operator a line of torch.

Only the operators that the files of files.py have, in the forms that these have. BatchNorms take batch statistics, Dropout does nothing,
and a first dimension of 1 that a Reshape has from a baked batch is that of the data. Gives the first float output.
"""

import math

import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

OPERATORS = {}


def operator(function):
    OPERATORS[function.__name__.rstrip("_")] = function
    return function


for name, plain in {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "MatMul": torch.matmul, "Equal": torch.eq,
    "Pow": torch.pow, "Where": torch.where, "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Sqrt": torch.sqrt, "Erf": torch.erf,
    "Log": torch.log, "Max": torch.maximum, "Identity": lambda x: x, "Dropout": lambda x: x,
}.items():
    OPERATORS[name] = lambda at, *inputs, plain=plain: plain(*inputs)


class At:
    """The attributes of a node, the opset, and the batch where it is baked."""

    def __init__(self, node, opset, baked):
        self.opset, self.baked = opset, baked
        self.attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}

    def __getitem__(self, key):
        return self.attributes[key]

    def get(self, key, usual=None):
        return self.attributes.get(key, usual)


def padding(at, x, kernel, strides, dilations):
    """What a window needs around a plane, in the order of F.pad."""
    pads = list(at.get("pads", [0] * 2 * len(kernel)))
    where = at.get("auto_pad", b"NOTSET").decode()
    if where.startswith("SAME"):
        for axis, size in enumerate(x.shape[2:]):
            reach = (math.ceil(size / strides[axis]) - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
            total = max(0, reach - size)
            less = total // 2
            pads[axis] = less if where == "SAME_UPPER" else total - less
            pads[axis + len(kernel)] = total - pads[axis]
    half = len(kernel)
    return [pads[axis + end * half] for axis in reversed(range(half)) for end in (0, 1)]


@operator
def Conv(at, x, weight, bias=None):
    kernel = weight.shape[2:]
    ones = [1] * len(kernel)
    strides, dilations = at.get("strides", ones), at.get("dilations", ones)
    x = F.pad(x, padding(at, x, kernel, strides, dilations))
    return (F.conv1d if len(kernel) == 1 else F.conv2d)(x, weight, bias, strides, 0, dilations, at.get("group", 1))


@operator
def MaxPool(at, x):
    kernel = at["kernel_shape"]
    strides = at.get("strides", [1] * len(kernel))
    x = F.pad(x, padding(at, x, kernel, strides, [1] * len(kernel)), value=-math.inf)
    return F.max_pool2d(x, kernel, strides, ceil_mode=bool(at.get("ceil_mode", 0)))


@operator
def AveragePool(at, x):
    kernel = at["kernel_shape"]
    strides = at.get("strides", [1] * len(kernel))
    pads = padding(at, x, kernel, strides, [1] * len(kernel))
    ones = torch.ones_like(x[:1, :1])
    counted = F.pad(ones, pads, value=1.0 if at.get("count_include_pad", 0) else 0.0)
    return F.avg_pool2d(F.pad(x, pads), kernel, strides) / F.avg_pool2d(counted, kernel, strides)


@operator
def GlobalAveragePool(at, x):
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


@operator
def BatchNormalization(at, x, scale, bias, mean, variance):
    return F.batch_norm(x, None, None, scale, bias, True, 0.0, at.get("epsilon", 1e-5))


@operator
def LayerNormalization(at, x, scale, bias=None):
    return F.layer_norm(x, scale.shape, scale, bias, at.get("epsilon", 1e-5))


@operator
def LRN(at, x):
    return F.local_response_norm(x, at["size"], at.get("alpha", 1e-4), at.get("beta", 0.75), at.get("bias", 1.0))


@operator
def LeakyRelu(at, x):
    return F.leaky_relu(x, at.get("alpha", 0.01))


@operator
def Gemm(at, a, b, c=None):
    a, b = a.T if at.get("transA", 0) else a, b.T if at.get("transB", 0) else b
    product = at.get("alpha", 1.0) * (a @ b)
    return product if c is None else product + at.get("beta", 1.0) * c


@operator
def Sum(at, *inputs):
    return sum(inputs[1:], inputs[0])


@operator
def Softmax(at, x):
    if at.opset >= 13:
        return x.softmax(at.get("axis", -1))
    return x.flatten(at.get("axis", 1)).softmax(-1).reshape(x.shape)


@operator
def Concat(at, *inputs):
    return torch.cat(inputs, at["axis"])


@operator
def Flatten(at, x):
    return x.flatten(at.get("axis", 1))


@operator
def Transpose(at, x):
    return x.permute(at["perm"])


@operator
def Reshape(at, x, shape):
    sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape.tolist())]
    if at.baked and sizes[0] == 1:
        sizes[0] = x.shape[0]
    return x.reshape(sizes)


@operator
def Unsqueeze(at, x, axes=None):
    for axis in sorted(at["axes"] if axes is None else axes.tolist()):
        x = x.unsqueeze(axis)
    return x


@operator
def Shape(at, x):
    return torch.tensor(x.shape)


@operator
def Constant(at):
    return torch.tensor(numpy_helper.to_array(at["value"]))


@operator
def ConstantOfShape(at, shape):
    value = torch.tensor(numpy_helper.to_array(at["value"])) if at.get("value") is not None else torch.zeros(1)
    return value.expand(shape.tolist())


@operator
def Gather(at, x, indices):
    axis = at.get("axis", 0) % x.dim()
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    return x.index_select(axis, indices.flatten()).reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


@operator
def Slice(at, x, starts, ends, axes, steps=None):
    steps = [1] * len(starts) if steps is None else steps.tolist()
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes.tolist(), steps):
        x = x.transpose(0, axis)[start:end:step].transpose(0, axis)
    return x


@operator
def Expand(at, x, shape):
    return x.expand(torch.broadcast_shapes(x.shape, shape.tolist()))


@operator
def Cast(at, x):
    to = onnx.helper.tensor_dtype_to_np_dtype(at["to"])
    return x if to.kind == "f" and x.is_floating_point() else x.to(at.float if to.kind == "f" else getattr(torch, to.name))


@operator
def Clip(at, x, low=None, high=None):
    return x.clamp(low, high)


def over_axes(reduce):
    def run(at, x, axes=None):
        axes = at.get("axes") if axes is None else axes.tolist()
        return reduce(x, axes, keepdim=bool(at.get("keepdims", 1)))

    return run


OPERATORS |= {"ReduceMean": over_axes(torch.mean), "ReduceSum": over_axes(torch.sum), "ReduceMax": over_axes(torch.amax)}


class Interpreted(nn.Module):
    """A graph that is called with its inputs in their order."""

    def __init__(self, model):
        super().__init__()
        graph = model.graph
        self.nodes, self.outputs = list(graph.node), [each.name for each in graph.output]
        self.opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
        tensors = {each.name: torch.tensor(numpy_helper.to_array(each)) for each in graph.initializer}
        self.inputs = [each.name for each in graph.input if each.name not in tensors]
        first = next(each for each in graph.input if each.name in self.inputs)
        self.baked = first.type.tensor_type.shape.dim[0].dim_value == 1
        self.names = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
        self.floats = nn.ParameterList([nn.Parameter(tensors[name]) for name in self.names])
        self.others = {name: tensor for name, tensor in tensors.items() if name not in self.names}
        missing = {node.op_type for node in self.nodes} - OPERATORS.keys()
        if missing:
            raise NotImplementedError(f"operators that are not written in PyTorch: {sorted(missing)}")

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """Names have dots, which modules do not take."""
        yield from zip(self.names, self.floats._parameters.values())

    def forward(self, *inputs):
        values = self.others | dict(self.named_parameters()) | dict(zip(self.inputs, inputs)) | {"": None}
        kind = next(self.floats.parameters()).dtype
        for node in self.nodes:
            at = At(node, self.opset, self.baked)
            at.float = kind
            made = OPERATORS[node.op_type](at, *(values[name] for name in node.input))
            values[node.output[0]] = made.to(kind) if made.is_floating_point() else made
        return next(values[name] for name in self.outputs if values[name].is_floating_point())
