"""Turns the published EfficientNet-Lite0 checkpoint into ONNX with nothing but the standard library.

The checkpoint is a pickle in PyTorch's old, non-zip format. It is read by an unpickler that knows the four names a table
of tensors needs and refuses every other one, so that no code in the file can run. The network is that of
"EfficientNet-Lite" (Google, 2020): no squeeze-and-excitation, ReLU6, TensorFlow's asymmetric "SAME" padding, BatchNorm
epsilon 1e-3. Input: f32 [N, 3, 224, 224], (pixel − 127) / 128. Outputs: `logits` [N, 1000].
"""

import array
import collections
import io
import pickle
import struct

MAGIC = 0x1950A86A20F9469CFC6C
ITEM = {"FloatStorage": 4, "LongStorage": 8}


class Storage:
    """A flat array of the checkpoint; its bytes come after the pickles."""

    def __init__(self, kind, count):
        self.kind, self.count, self.data = kind, count, b""


class Tensor:
    """A view of a storage."""

    def __init__(self, storage, offset, shape, stride, *_):
        self.storage, self.offset, self.shape, self.stride = storage, offset, tuple(shape), tuple(stride)

    def bytes(self):
        """Elements in row-major order; the checkpoint holds some of them transposed."""
        if self.storage.kind != "FloatStorage":
            raise ValueError("a weight is not float32")
        flat = array.array("f", self.storage.data)
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride))
        if min((0, *self.stride)) < 0 or last >= len(flat):
            raise ValueError("a tensor is longer than its storage")
        out = array.array("f")

        def walk(axis, at):
            if axis == len(self.shape):
                out.append(flat[at])
            elif axis + 1 == len(self.shape) and self.stride[axis] > 0:
                out.extend(flat[at : at + (self.shape[axis] - 1) * self.stride[axis] + 1 : self.stride[axis]])
            else:
                for index in range(self.shape[axis]):
                    walk(axis + 1, at + index * self.stride[axis])

        walk(0, self.offset)
        return out.tobytes()


class Reader(pickle.Unpickler):
    """An unpickler for tables of tensors."""

    storages = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return Tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in ITEM:
            return name
        raise pickle.UnpicklingError(f"refused {module}.{name}")

    def persistent_load(self, identity):
        _, kind, key, _, count = identity[:5]
        return self.storages.setdefault(key, Storage(kind, count))


def checkpoint(data):
    """Name → Tensor of a legacy checkpoint."""
    file = io.BytesIO(data)
    storages = {}

    def load():
        reader = Reader(file)
        reader.storages = storages
        return reader.load()

    if load() != MAGIC:
        raise ValueError("not a legacy PyTorch checkpoint")
    load(), load()  # protocol version, system facts
    table, keys = load(), load()
    for key in keys:
        storage = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.count:
            raise ValueError("a storage has another length than its tensors say")
        storage.data = file.read(count * ITEM[storage.kind])
    return table


# Just enough of protocol buffers to write an ONNX model. Field numbers: onnx.proto.


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def attribute(name, value):
    if isinstance(value, float):
        return block(5, block(1, name) + varint(2 << 3 | 5) + struct.pack("<f", value) + number(20, 1))
    if isinstance(value, int):
        return block(5, block(1, name) + number(3, value) + number(20, 2))
    return block(5, block(1, name) + b"".join(number(8, item) for item in value) + number(20, 7))


def value_info(name, shape):
    dims = b"".join(block(1, block(2, dim) if isinstance(dim, str) else number(1, dim)) for dim in shape)
    return block(1, name) + block(2, block(1, number(1, 1) + block(2, dims)))


class Network:
    """Nodes and weights in the order in which they are added."""

    def __init__(self, table):
        self.table, self.nodes, self.weights, self.used, self.size = table, [], [], set(), 224

    def node(self, op, inputs, name, output=None, **attributes):
        output = output or f"{name}_out"
        fields = b"".join(block(1, i) for i in inputs) + block(2, output) + block(3, name) + block(4, op)
        self.nodes.append(block(1, fields + b"".join(attribute(k, v) for k, v in attributes.items())))
        return output

    def constant(self, name, shape, data):
        dims = b"".join(number(1, dim) for dim in shape)
        self.weights.append(block(5, dims + number(2, 1) + block(8, name) + block(9, data)))
        return name

    def weight(self, name):
        tensor = self.table[name]
        self.used.add(name)
        return self.constant(name, tensor.shape, tensor.bytes())

    def conv(self, x, name, kernel, stride, groups=1):
        out = -(-self.size // stride)
        pad = max((out - 1) * stride + kernel - self.size, 0)
        self.size = out
        pads = [pad // 2, pad // 2, pad - pad // 2, pad - pad // 2]
        return self.node(
            "Conv", [x, self.weight(f"{name}.weight")], name, kernel_shape=[kernel] * 2, strides=[stride] * 2,
            group=groups, pads=pads,
        )

    def norm(self, x, name):
        weights = [self.weight(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        return self.node("BatchNormalization", [x, *weights], name, epsilon=1e-3)

    def relu6(self, x):
        return self.node("Clip", [x, "min0", "max6"], f"{x}_r6", output=f"{x}_r6")


# kernel, stride, expansion, input and output channels, repetitions
STAGES = [
    (3, 1, 1, 32, 16, 1), (3, 2, 6, 16, 24, 2), (5, 2, 6, 24, 40, 2), (3, 2, 6, 40, 80, 3),
    (5, 1, 6, 80, 112, 3), (5, 2, 6, 112, 192, 4), (3, 1, 6, 192, 320, 1),
]


def convert(data):
    """The ONNX file, opset 13, of a checkpoint."""
    net = Network(checkpoint(data))
    net.constant("min0", (), struct.pack("<f", 0.0))
    net.constant("max6", (), struct.pack("<f", 6.0))
    x = net.relu6(net.norm(net.conv("input", "_conv_stem", 3, 2), "_bn0"))
    index = 0
    for kernel, first_stride, expansion, channels, out, repetitions in STAGES:
        for repetition in range(repetitions):
            stride = first_stride if repetition == 0 else 1
            inner, name, y = channels * expansion, f"_blocks.{index}.", x
            if expansion != 1:
                y = net.relu6(net.norm(net.conv(y, f"{name}_expand_conv", 1, 1), f"{name}_bn0"))
            y = net.relu6(net.norm(net.conv(y, f"{name}_depthwise_conv", kernel, stride, inner), f"{name}_bn1"))
            y = net.norm(net.conv(y, f"{name}_project_conv", 1, 1), f"{name}_bn2")
            if stride == 1 and channels == out:
                y = net.node("Add", [y, x], f"{name}add")
            x, channels, index = y, out, index + 1
    x = net.relu6(net.norm(net.conv(x, "_conv_head", 1, 1), "_bn1"))
    x = net.node("GlobalAveragePool", [x], "pool")
    x = net.node("Flatten", [x], "features", output="features", axis=1)
    net.node("Gemm", [x, net.weight("_fc.weight"), net.weight("_fc.bias")], "_fc", output="logits", transB=1)
    left = [name for name in net.table if name not in net.used and not name.endswith("num_batches_tracked")]
    if left:
        raise ValueError(f"weights without a place: {left}")
    graph = b"".join(net.nodes) + block(2, "efficientnet_lite0") + b"".join(net.weights)
    graph += block(11, value_info("input", ["N", 3, 224, 224])) + block(12, value_info("logits", ["N", 1000]))
    return number(1, 7) + block(2, "examples/lite0.py") + block(7, graph) + block(8, block(1, "") + number(2, 13))
