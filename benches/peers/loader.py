"""torchvision's ImageFolder, transforms and DataLoader over Pillow: prints images per second, the best of three passes.

python loader.py FOLDER [WORKERS]
"""

import sys
import time

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def main():
    folder = sys.argv[1]
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    torch.set_num_threads(1)
    chain = transforms.Compose([
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    data = datasets.ImageFolder(folder, chain)
    loader = DataLoader(data, batch_size=32, num_workers=workers, prefetch_factor=3, persistent_workers=True)
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        for _ in loader:
            pass
        best = max(best, len(data) / (time.perf_counter() - start))
    print(best)


if __name__ == "__main__":
    main()
