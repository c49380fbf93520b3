"""The networks of the step benchmarks, with random weights of seed 0, and how each is fed.

| name | network | batch | optimizer |
|---|---|---|---|
| `resnet50` | torchvision's ResNet-50 | 16 × 3 × 224 × 224 | SGD with momentum |
| `lite0` | timm's EfficientNet-Lite0 | 16 × 3 × 224 × 224 | SGD with momentum |
| `vgg16` | torchvision's VGG-16 | 16 × 3 × 224 × 224 | SGD with momentum |
| `vit` | torchvision's ViT-B/16 | 8 × 3 × 224 × 224 | SGD with momentum |
| `minilm` | the encoder of all-MiniLM-L6: 6 layers, 384 wide, 12 heads | 32 × 64 tokens | AdamW |

`GRADIENTS` are more networks, whose gradients are compared and that are not timed.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

SEQUENCE = 64


@dataclasses.dataclass(frozen=True)
class Bench:
    """A network with its batch; `inputs(batch)` are random inputs by name."""

    build: Callable[[], nn.Module]
    inputs: Callable[[int], dict[str, torch.Tensor]]
    batch: int
    optimizer: str
    output: str
    axes: tuple[str, ...]


def images(batch):
    return {"input": torch.randn(batch, 3, 224, 224)}


def tokens(batch):
    return {
        "input_ids": torch.randint(30522, (batch, SEQUENCE)),
        "attention_mask": torch.ones(batch, SEQUENCE, dtype=torch.long),
    }


def resnet50():
    from resnet50 import network

    return network()


def lite0():
    import timm

    return timm.create_model("efficientnet_lite0", pretrained=False)


def vgg16():
    from torchvision.models import vgg16 as make

    return make(weights=None)


def vit():
    from torchvision.models import vit_b_16

    return vit_b_16(weights=None)


def additive(mask):
    """Zeros where a mask has ones, the lowest number elsewhere."""
    return (1.0 - mask.to(torch.float32)) * torch.finfo(torch.float32).min


class Encoder(nn.Module):
    """The token states of BERT, as a plain function of tensors."""

    def __init__(self, width=384, layers=6):
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=30522, hidden_size=width, num_hidden_layers=layers, num_attention_heads=12, intermediate_size=4 * width,
            max_position_embeddings=512, attn_implementation="eager",
        )
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, input_ids, attention_mask):
        # Additive and of full rank already: the model's own way from two dimensions to four does not trace.
        mask = additive(attention_mask[:, None, None, :])
        return self.bert(input_ids=input_ids, attention_mask=mask).last_hidden_state


class Decoder(nn.Module):
    """GPT-2 of 12 layers with its output layer, which is the table of its tokens, as a plain function of tensors."""

    def __init__(self):
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        self.gpt = GPT2LMHeadModel(GPT2Config(attn_implementation="eager", use_cache=False))

    def forward(self, input_ids):
        places = torch.arange(input_ids.shape[1]).unsqueeze(0)
        mask = additive(places[:, None, :] <= places[:, :, None])[:, None]
        return self.gpt(input_ids=input_ids, attention_mask=mask, position_ids=places).logits


def from_torchvision(name):
    def build():
        import torchvision

        return getattr(torchvision.models, name)(weights=None)

    return build


MODELS = {
    "resnet50": Bench(resnet50, images, 16, "sgd", "logits", ("batch",)),
    "lite0": Bench(lite0, images, 16, "sgd", "logits", ("batch",)),
    "vgg16": Bench(vgg16, images, 16, "sgd", "logits", ("batch",)),
    "vit": Bench(vit, images, 8, "sgd", "logits", ("batch",)),
    "minilm": Bench(Encoder, tokens, 32, "adamw", "states", ("batch", "sequence")),
}

GRADIENTS = {
    "resnet18": Bench(from_torchvision("resnet18"), images, 16, "sgd", "logits", ("batch",)),
    "mobilenet_v3": Bench(from_torchvision("mobilenet_v3_small"), images, 16, "sgd", "logits", ("batch",)),
    "mobilenet_v3_large": Bench(from_torchvision("mobilenet_v3_large"), images, 16, "sgd", "logits", ("batch",)),
    "bert": Bench(lambda: Encoder(768, 12), tokens, 32, "adamw", "states", ("batch", "sequence")),
    "gpt2": Bench(Decoder, lambda batch: {"input_ids": tokens(batch)["input_ids"]}, 8, "adamw", "scores", ("batch", "sequence")),
}


def network(name):
    """The network of that name, float32, weights of seed 0."""
    torch.manual_seed(0)
    return (MODELS | GRADIENTS)[name].build()
