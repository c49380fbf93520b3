#!/usr/bin/env python3
"""The textbook script in PyTorch: a frozen ResNet-50, a new layer with 10 classes, SGD 0.001 with momentum 0.9.

    python3 benches/peers/textbook.py IMAGES RESNET50.pt [--epochs 10] [--batch 100] [--workers 2] [--channels-last] [--eval-bn] [--unfrozen layer4]

As such scripts are written: the whole network is in train mode, so BatchNorm uses batch statistics although it is frozen
(`--eval-bn` puts the frozen part in eval mode, which is what `pipe` does). `--unfrozen` trains a stage as well. Prints one JSON object. Start it in a fresh
process: `import_s` is part of what a user waits for. Needs torch and torchvision.
"""

import time

STARTED = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torchvision import datasets, models, transforms  # noqa: E402

IMPORTED = time.perf_counter()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("weights", help="what export.py writes beside the ONNX file")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--eval-bn", action="store_true")
    parser.add_argument("--unfrozen", help="a stage that is trained beside the new layer")
    return parser.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    net = models.resnet50(weights=None)
    net.load_state_dict(torch.load(args.weights, weights_only=True))
    for parameter in net.parameters():
        parameter.requires_grad = False
    net.fc = nn.Linear(net.fc.in_features, 10)
    trained = [net.fc] + ([net.get_submodule(args.unfrozen)] if args.unfrozen else [])
    for module in trained:
        module.requires_grad_(True)
    if args.channels_last:
        net = net.to(memory_format=torch.channels_last)
    preprocess = transforms.Compose([
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    loader = torch.utils.data.DataLoader(
        datasets.ImageFolder(args.images, preprocess), batch_size=args.batch, shuffle=True, num_workers=args.workers,
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.001, momentum=0.9)
    ready = time.perf_counter()
    epochs, losses = [], []
    for _ in range(args.epochs):
        net.train(not args.eval_bn)
        for module in trained:
            module.train()
        start, total = time.perf_counter(), 0.0
        for inputs, labels in loader:
            if args.channels_last:
                inputs = inputs.to(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss = criterion(net(inputs), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        epochs.append(round(time.perf_counter() - start, 3))
        losses.append(round(total / len(loader.dataset), 5))
    ended = time.perf_counter()
    print(json.dumps({
        "torch": torch.__version__,
        "workers": args.workers,
        "channels_last": args.channels_last,
        "eval_bn": args.eval_bn,
        "unfrozen": args.unfrozen,
        "import_s": round(IMPORTED - STARTED, 3),
        "build_s": round(ready - IMPORTED, 3),
        "epochs_s": epochs,
        "train_s": round(sum(epochs), 3),
        "total_s": round(ended - STARTED, 3),
        "losses": losses,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }))


if __name__ == "__main__":
    main()
