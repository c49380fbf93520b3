"""Writes tests/golden/transforms/*.npz and images/*: what Pillow and torchvision make of small images.

python3.11 -m venv v && v/bin/pip install pillow==13.0.0 numpy==2.4.6 torch==2.15.0 torchvision==0.29.2
v/bin/python tests/golden/transforms.py
"""

import io
import pathlib

import numpy as np
import torch
from PIL import Image
from torchvision.io import decode_image
from torchvision.transforms import v2
from torchvision.transforms.functional import to_tensor
from torchvision.transforms.v2 import functional as F

OUT = pathlib.Path(__file__).parent / "transforms"
OUT.mkdir(exist_ok=True)
rng = np.random.default_rng(0)


def scene(height, width, noise=40):
    """Edges, gradients and noise: what filters and rounding differ on."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        127 + 120 * np.sin(x / 5.0 + y / 11.0),
        255.0 * ((x // 7 + y // 5) % 2),
        255.0 * x / max(width - 1, 1),
    ]
    image = np.stack(planes, -1) + rng.normal(0, noise, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


wide, tall = scene(31, 47), scene(43, 26)
square = scene(32, 32)
case = {"wide": wide, "tall": tall, "square": square}
pil = {name: Image.fromarray(array) for name, array in case.items()}
MODES = {
    "bilinear": v2.InterpolationMode.BILINEAR,
    "nearest": v2.InterpolationMode.NEAREST,
    "bicubic": v2.InterpolationMode.BICUBIC,
}


def keep(name, image):
    if isinstance(image, Image.Image):
        image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    case[name] = image


for name in ["wide", "tall"]:
    for mode, value in MODES.items():
        for size in [13, 40]:
            keep(f"resize {name} {size} {mode}", F.resize(pil[name], [size], interpolation=value))
        keep(f"resize {name} 23x15 {mode}", F.resize(pil[name], [23, 15], interpolation=value))
    grey = pil[name].convert("L")
    keep(f"grey {name}", grey)
    keep(f"resize grey {name} 13 bilinear", F.resize(grey, [13]))
    tensor = torch.from_numpy(np.array(pil[name])).permute(2, 0, 1)
    plain = F.resize(tensor, [13], interpolation=MODES["bilinear"], antialias=False)
    keep(f"resize plain {name} 13 bilinear", plain.permute(1, 2, 0).numpy())
    for size in [(20, 20), (33, 25), (45, 36), (50, 50)]:
        keep(f"center_crop {name} {size[0]}x{size[1]}", F.center_crop(pil[name], list(size)))
    keep(f"horizontal_flip {name}", F.horizontal_flip(pil[name]))
    keep(f"vertical_flip {name}", F.vertical_flip(pil[name]))
    for angle in [0.0, 17.5, -33.0, 90.0, 180.0, 270.0, 359.5]:
        keep(f"rotation {name} {angle}", F.rotate(pil[name], angle))
    keep(f"crop {name}", F.crop(F.pad(pil[name], [3, 4, 5, 6]), 1, 2, 40, 30))
    keep(f"resized_crop {name}", F.resized_crop(pil[name], 5, 7, 24, 17, [16, 24]))
for angle in [90.0, 180.0, 270.0, 45.0]:
    keep(f"rotation square {angle}", F.rotate(pil["square"], angle))
for factor in [0.0, 0.3, 0.77, 1.0, 1.6]:
    keep(f"brightness {factor}", F.adjust_brightness(pil["square"], factor))
    keep(f"contrast {factor}", F.adjust_contrast(pil["square"], factor))
    keep(f"saturation {factor}", F.adjust_saturation(pil["square"], factor))
for factor in [-0.5, -0.21, 0.0, 0.03, 0.5]:
    keep(f"hue {factor}", F.adjust_hue(pil["square"], factor))
# The first version divides by 255, which is what nearly all published preprocessing does; v2's to_dtype multiplies by 1/255.
tensor = to_tensor(pil["square"])
floats = {
    "to_tensor": tensor.numpy(),
    "normalize": F.normalize(tensor, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).numpy(),
}


def save(name, arrays):
    """Each array as the only sample of its own key."""
    np.savez_compressed(OUT / name, **{key: array[None] for key, array in arrays.items()})


save("pixels.npz", case)
save("floats.npz", floats)

# Resizing up, down and both at once, of pictures and of strips, of black and white noise, on which a cubic overshoots most. The order of
# the passes shows: Pillow runs the vertical one first when the height shrinks by more than twice as many pixels as the width.
black_white = np.random.default_rng(1)
sources = {
    "noise": black_white.integers(0, 2, (37, 29, 3)) * 255,
    "row": black_white.integers(0, 2, (3, 90, 3)) * 255,
    "column": black_white.integers(0, 2, (90, 3, 3)) * 255,
}
targets = {
    "noise": [(70, 61), (12, 11), (60, 9), (9, 60), (36, 28), (35, 28), (34, 28), (17, 19), (16, 19), (37, 8), (8, 29)],
    "row": [(3, 20), (1, 200), (7, 31), (30, 4), (2, 90)],
    "column": [(20, 3), (200, 1), (31, 7), (4, 30), (88, 2), (87, 2)],
}
resized = {}
for name, source in sources.items():
    resized[name] = source.astype(np.uint8)
    for height, width in targets[name]:
        for mode, filter in [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]:
            image = Image.fromarray(resized[name]).resize((width, height), filter)
            resized[f"{mode} {name} {height}x{width}"] = np.asarray(image)
save("resized.npz", resized)

# Files of every mode, each with what Pillow's convert("RGB") gives.
images = OUT / "images"
images.mkdir(exist_ok=True)
decoded = {}


def file(name, image, **options):
    path = images / name
    image.save(path, **options)
    decoded[name] = np.asarray(Image.open(path).convert("RGB"))


small = Image.fromarray(scene(21, 19, noise=12))
alpha = Image.fromarray(np.linspace(0, 255, 21 * 19).reshape(21, 19).astype(np.uint8))
rgba = small.copy()
rgba.putalpha(alpha)
la = small.convert("L")
la.putalpha(alpha)
file("rgb.png", small)
file("rgba.png", rgba)
file("grey.png", small.convert("L"))
file("grey_alpha.png", la)
file("palette.png", small.quantize(16))
file("palette_transparent.png", small.quantize(16), transparency=3)
file("bits.png", small.convert("1"))
file("interlaced_grey4.png", small.convert("L").quantize(8))
file("rgb.jpg", small, quality=92, subsampling=0)
file("rgb_420.jpg", small, quality=92)
file("progressive.jpg", small, quality=92, progressive=True)
file("grey.jpg", small.convert("L"), quality=92)
file("cmyk.jpg", small.convert("CMYK"), quality=92)
exif = Image.Exif()
exif[0x0112] = 6
file("turned.jpg", small, quality=92, exif=exif)
deep = (np.asarray(small.convert("L")).astype(np.uint16) << 8) | 0x7F
buffer = io.BytesIO()
Image.fromarray(deep).save(buffer, "png")
(images / "grey16.png").write_bytes(buffer.getvalue())
# Pillow clips 16 bits of grey at 255, which makes a picture white; torchvision's own decoder keeps the high byte.
decoded["grey16.png"] = F.to_dtype(decode_image(images / "grey16.png", "RGB"), torch.uint8, scale=True).permute(1, 2, 0).numpy()
save("decoded.npz", decoded)
