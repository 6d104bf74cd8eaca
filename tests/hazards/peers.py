"""What other loaders make of a folder: SimpleITK's series reader and dcm2niix."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .judge import Image


@dataclass(frozen=True)
class Made:
    """Images, and what the loader said about them on the terminal or by an exception."""

    images: list[Image]
    words: str = ""
    failed: bool = False
    corrected: bool = False


@contextmanager
def terminal() -> Iterator[list[str]]:
    """What compiled code writes to standard error meanwhile."""
    said: list[str] = []
    sys.stderr.flush()
    keep = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(keep, 2)
            os.close(keep)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))


def itk_images(root: Path) -> Made:
    """As the documentation of SimpleITK shows, in every folder that holds files."""
    import SimpleITK as sitk

    images, failures = [], []
    with terminal() as said:
        for folder in [root, *sorted(p for p in root.rglob("*") if p.is_dir() and not p.is_symlink())]:
            try:
                for name in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
                    reader = sitk.ImageSeriesReader()
                    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), name))
                    images.append(itk_image(reader.Execute()))
            except RuntimeError as error:
                failures.append(str(error))
    return Made(images, " ".join(said), failed=bool(failures))


def itk_image(image: object) -> Image:
    """Values and affine of a SimpleITK image."""
    import SimpleITK as sitk

    assert isinstance(image, sitk.Image)
    values = sitk.GetArrayFromImage(image)
    axes = image.GetDimension()
    affine = np.eye(4)
    if axes == 4 and len(values) == 1:
        values = values[0]  # an enhanced image comes with a fourth axis
    direction = np.array(image.GetDirection()).reshape(axes, axes)[:3, :3]
    affine[:3, :3] = (direction * image.GetSpacing()[:3])[:, ::-1]
    affine[:3, 3] = image.GetOrigin()[:3]
    return Image(values, affine)


def dcm2niix_program() -> str | None:
    """The program, from the environment of this Python or from the path."""
    beside = Path(sys.executable).with_name("dcm2niix")
    return str(beside) if beside.exists() else shutil.which("dcm2niix")


def dcm2niix_images(root: Path) -> Made:
    """One run with default options."""
    program = dcm2niix_program()
    assert program is not None
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(
            [program, "-z", "n", "-b", "n", "-f", "%s_%p", "-o", out, str(root)],
            capture_output=True, text=True, errors="replace", check=False, timeout=60,
        )  # fmt: skip
        files = sorted(Path(out).rglob("*.nii"))
        plain = [f for f in files if not re.search(r"_(Eq|Tilt)", f.name)]
        images = [image for file in plain for image in nifti_images(file)]
    lines = (done.stdout + done.stderr).splitlines()
    said = "\n".join(line for line in lines if re.search(r"warning|error|unable|unsupp", line, re.IGNORECASE))
    return Made(images, said, failed=done.returncode != 0 or not plain, corrected=len(plain) < len(files))


def nifti_images(file: Path) -> list[Image]:
    """The image of a NIfTI file, or the images along its fourth axis."""
    import nibabel

    nifti = nibabel.load(file)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ nifti.affine
    if nifti.get_data_dtype().names or nifti.ndim > 4:
        return [Image(np.zeros((1, 1)), affine)]
    values = np.asarray(nifti.dataobj, dtype=np.float64)
    values = values.reshape((*values.shape, 1, 1)[:4])
    return [Image(values[..., k], affine) for k in range(values.shape[3])]
