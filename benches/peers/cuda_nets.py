"""The networks of the GPU benchmark, with random weights of seed 0, and how each is fed.

| name | network | input | output | optimizer |
|---|---|---|---|---|
| `resnet50` | torchvision's ResNet-50 | `input` N × 3 × 224 × 224 | `logits` N × 1000 | SGD with momentum |
| `bert_base` | BERT base with its pooler and a head of 2 classes | `input_ids` N × 128 | `logits` N × 2 | AdamW |
| `tiny_resnet` | convolutions, BatchNorm, a pool, two residual blocks | `input` N × 3 × 32 × 32 | `logits` N × 10 | SGD with momentum |
| `tiny_bert` | 2 layers, 64 wide, 2 heads, 100 words | `input_ids` N × 16 | `logits` N × 2 | AdamW |

BERT is written out in plain modules: token types are zero, every token is attended to, dropout is 0.
"""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import nn


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of a BERT."""

    layers: int
    hidden: int
    heads: int
    vocabulary: int
    positions: int
    sequence: int


BASE = Shape(12, 768, 12, 30522, 512, 128)
TINY = Shape(2, 64, 2, 100, 32, 16)


class Layer(nn.Module):
    """Attention and feed-forward, each with its residual and LayerNorm after it."""

    def __init__(self, shape):
        super().__init__()
        # Fixed, so that the exported graph reshapes by constants.
        self.split = (-1, shape.sequence, shape.heads, shape.hidden // shape.heads)
        self.joined = (-1, shape.sequence, shape.hidden)
        self.fused = False
        self.query, self.key, self.value, self.out = (nn.Linear(shape.hidden, shape.hidden) for _ in range(4))
        self.attention_norm = nn.LayerNorm(shape.hidden, eps=1e-12)
        self.up = nn.Linear(shape.hidden, 4 * shape.hidden)
        self.down = nn.Linear(4 * shape.hidden, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=1e-12)

    def attend(self, x):
        query, key, value = (
            part(x).reshape(self.split).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        if self.fused:
            mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        else:
            scores = query @ key.transpose(-1, -2) / math.sqrt(self.split[-1])
            mixed = scores.softmax(-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(self.joined))

    def forward(self, x):
        x = self.attention_norm(x + self.attend(x))
        return self.norm(x + self.down(nn.functional.gelu(self.up(x))))


class Bert(nn.Module):
    """Scores of two classes from token numbers."""

    def __init__(self, shape):
        super().__init__()
        self.words = nn.Embedding(shape.vocabulary, shape.hidden)
        self.positions = nn.Embedding(shape.positions, shape.hidden)
        self.types = nn.Embedding(2, shape.hidden)
        self.register_buffer("places", torch.arange(shape.sequence), persistent=False)
        self.register_buffer("zeros", torch.zeros(shape.sequence, dtype=torch.long), persistent=False)
        self.norm = nn.LayerNorm(shape.hidden, eps=1e-12)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.pooler = nn.Linear(shape.hidden, shape.hidden)
        self.classifier = nn.Linear(shape.hidden, 2)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, input_ids):
        x = self.norm(self.words(input_ids) + self.positions(self.places) + self.types(self.zeros))
        for layer in self.layers:
            x = layer(x)
        return self.classifier(torch.tanh(self.pooler(x[:, 0])))


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + self.shortcut(x)).relu()


def tiny_resnet():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        Block(16, 16, 1), Block(16, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )


def resnet50():
    from resnet50 import network as make

    return make()


@dataclasses.dataclass(frozen=True)
class Net:
    """A network, random inputs of a batch by name, its number of classes and its optimizer."""

    build: Callable[[], nn.Module]
    inputs: Callable[[int], dict[str, torch.Tensor]]
    classes: int
    optimizer: str


def images(side):
    return lambda batch: {"input": torch.randn(batch, 3, side, side)}


def tokens(shape):
    return lambda batch: {"input_ids": torch.randint(shape.vocabulary, (batch, shape.sequence))}


NETS = {
    "resnet50": Net(resnet50, images(224), 1000, "sgd"),
    "bert_base": Net(lambda: Bert(BASE), tokens(BASE), 2, "adamw"),
    "tiny_resnet": Net(tiny_resnet, images(32), 10, "sgd"),
    "tiny_bert": Net(lambda: Bert(TINY), tokens(TINY), 2, "adamw"),
}


def network(name):
    """The network of that name, float32, weights of seed 0."""
    torch.manual_seed(0)
    return NETS[name].build()
