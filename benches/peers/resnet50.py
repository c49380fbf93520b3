"""The network of the benchmarks: torchvision's ResNet-50 with random weights of seed 0.

Random weights with BatchNorm statistics of zero and one let activations grow from block to block, so the running
statistics are set from two batches of smooth colour fields; the network then behaves like a trained one in both modes of BatchNorm.
"""

import torch
from torch import nn
from torchvision.models import resnet50


def network():
    """ResNet-50, 1000 classes, float32."""
    torch.manual_seed(0)
    net = resnet50(weights=None)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # cumulative average
    with torch.no_grad():
        for _ in range(2):
            coarse = torch.randn(16, 3, 9, 9)
            fields = nn.functional.interpolate(coarse, size=(224, 224), mode="bicubic", align_corners=True)
            net.train()(fields + 0.2 * torch.randn(16, 3, 224, 224))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return net
