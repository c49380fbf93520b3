#!/usr/bin/env python3
"""Writes the pictures that the textbook benchmark reads: 300 JPEG files of 250 to 300 pixels in ten class folders.

    python3 benches/peers/images.py OUT [--count 300]

Every picture is a smooth random colour field with the class in its stripes; the same arguments give the same files.
Needs numpy and pillow.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image


def picture(index, classes):
    """A picture and its class."""
    rng = np.random.default_rng(index)
    label = index % classes
    width, height = (int(side) for side in rng.integers(250, 301, 2))
    coarse = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    field = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    angle = np.pi * label / classes
    y, x = np.mgrid[0:height, 0:width]
    stripes = 40 * np.sin((x * np.cos(angle) + y * np.sin(angle)) / 5 + rng.uniform(0, 6.28))
    noise = rng.normal(0, 8, field.shape)
    return Image.fromarray(np.clip(field + stripes[..., None] + noise, 0, 255).astype(np.uint8)), label


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--classes", type=int, default=10)
    args = parser.parse_args()
    for index in range(args.count):
        image, label = picture(index, args.classes)
        folder = args.out / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index:05}.jpg", quality=90)


if __name__ == "__main__":
    main()
