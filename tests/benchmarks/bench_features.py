"""All features of 742 components, beside scikit-image's regionprops_table, in one run.

    python tests/benchmarks/bench_features.py [--kind grains] [--components 742] [--rounds 5]
    python tests/benchmarks/bench_features.py --scan FOLDER [--rounds 5]

Lumps of one to four balls (12 to 800 voxels, mean about 300), or grains of smooth noise (4 to 460 voxels, mean about
50, flat ones among them; skeletons and hulls of mesh vertices of these take 0.05 and 0.2 s), in 1 x 0.7 x 0.7 mm voxels
with noise. Of a scan: what exceeds 100 HU and reaches 130, of at least 3 voxels, in the body, without what is large
enough for a bone (749 of the QRM phantom's, 742 in an earlier count, three of them bones). scikit-image gets
the properties that it has of ours; it has no surface, shell, background, edge or profile. Seconds are those of
the process, the least of several rounds; the parts below are the shared intermediates that features are made of.
"""

import argparse
import time
import warnings

import numpy as np
from scipy import ndimage
from skimage.measure import regionprops_table

from imaging import FEATURES, Detection, Volume, find_series, measure, read_volume
from imaging.body import body_mask
from imaging.foci import Foci

LARGEST = 20_000
SIDE, SHAPE = np.array((26, 32, 32)), (18, 22, 22)
PARTS = ("values", "surroundings", "packed", "surfaces", "axes", "hulls", "slice_extents", "sphere", "edges", "inside",
         "integrated_mm3")  # fmt: skip
CHEAP = ("label", "area", "bbox", "centroid", "intensity_mean", "intensity_min", "intensity_max", "intensity_std",
         "inertia_tensor_eigvals")  # fmt: skip


def lumps(n, seed=0):
    """A volume and its labels: one lump in each cell of a lattice."""
    rng = np.random.default_rng(seed)
    lattice = (7, 10, int(np.ceil(n / 70)))
    array = np.full(SIDE * lattice, 40.0, np.float32)
    labels = np.zeros(array.shape, np.int32)
    z, y, x = np.indices(SHAPE)
    for k, cell in enumerate(list(np.ndindex(*lattice))[:n]):
        mask = np.zeros(SHAPE, bool)
        for _ in range(rng.integers(1, 5)):
            c, r = np.array(SHAPE) / 2 + rng.uniform(-3, 3, 3), rng.uniform(1.5, 4.5)
            mask |= (z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2 <= r * r
        parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
        here = tuple(slice(a + 4, a + 4 + s) for a, s in zip(np.array(cell) * SIDE, SHAPE, strict=True))
        labels[here][parts == parts.max()] = k + 1
        array[here][parts == parts.max()] = rng.uniform(200, 1500)
    array = ndimage.gaussian_filter(array, (0.3, 0.7, 0.7)) + rng.normal(0, 10, array.shape)
    return Volume.from_components(array.round().astype(np.int16), spacing=(1.0, 0.7, 0.7)), labels


def grains(n, seed=0):
    """A volume and its labels: `n` of what exceeds two standard deviations of smooth noise."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(130, 220, 220)).astype(np.float32), 2.0)
    labels, count = ndimage.label(noise > 2.05 * noise.std(), np.ones((3, 3, 3)))
    large = np.flatnonzero(np.bincount(labels.ravel(), minlength=count + 1)[1:] >= 4) + 1
    number = np.zeros(count + 1, np.int32)
    number[rng.permutation(large)[:n]] = np.arange(1, n + 1)
    labels = number[labels]
    array = ndimage.gaussian_filter(np.where(labels > 0, 400.0, 40.0), 0.4) + rng.normal(0, 5, labels.shape)
    return Volume.from_components(array.round().astype(np.int16), spacing=(1.0, 0.7, 0.7)), labels


def of_scan(folder):
    """The first scan of a folder, and its components at 100/130 HU, up to `LARGEST` voxels."""
    volume = read_volume(find_series(folder).series[0])
    labels, count = ndimage.label(volume.array > 100, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    inside = np.bincount(labels[body_mask(volume).full()], minlength=count + 1)
    peak = ndimage.maximum(volume.array, labels, np.arange(count + 1))
    keep = (sizes >= 3) & (sizes <= LARGEST) & (peak >= 130) & (inside >= sizes / 2)
    keep[0] = False
    return volume, np.asarray(np.cumsum(keep) * keep, np.int32)[labels]


def least(work, rounds):
    """Least process time of several rounds, s."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main():
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--components", type=int, default=742)
    parser.add_argument("--kind", choices=("lumps", "grains"), default="lumps")
    parser.add_argument("--scan")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    make = {"lumps": lumps, "grains": grains}[options.kind]
    volume, labels = of_scan(options.scan) if options.scan else make(options.components)
    detection = Detection.from_labels(volume, labels)
    measure(Detection.from_labels(volume, np.where(labels <= 2, labels, 0)))  # imports, tables
    sizes = np.bincount(labels.ravel())[1:]
    print(f"{len(sizes)} components of {sizes.min()} to {sizes.max()} voxels, mean {sizes.mean():.0f}")
    ours = least(lambda: measure(detection), options.rounds)
    print(f"measure, {len(FEATURES)} features: {ours:.3f} s, {1000 * ours / len(sizes):.2f} ms a component")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image warns about the hulls of flat components
        for name, properties in {
            "intensity, box, inertia": CHEAP,
            "and solidity, feret_diameter_max": (*CHEAP, "solidity", "feret_diameter_max"),
        }.items():
            try:
                theirs = least(lambda p=properties: table_of(labels, volume.array, p), min(options.rounds, 2))
            except ValueError as error:  # its longest diameter of a flat component
                print(f"regionprops_table, {name}: {error}")
                continue
            print(f"regionprops_table, {name}: {theirs:.3f} s; ours takes {ours / theirs:.2f} of it")
    rounds = []
    for _ in range(options.rounds):
        foci, took = Foci(detection), {}
        for part in PARTS:
            start = time.process_time()
            getattr(foci, part)
            took[part] = time.process_time() - start
        rounds.append(took)
    for part in PARTS:
        print(f"    {part:16} {min(took[part] for took in rounds):.3f} s")


def table_of(labels, array, properties):
    """What scikit-image measures; its hull of a flat component is an error in some versions."""
    return regionprops_table(labels, array, properties=properties, spacing=(1.0, 0.7, 0.7))


if __name__ == "__main__":
    main()
