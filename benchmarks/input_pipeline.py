"""Photos a second: decoding, cropping and mirroring, beside a bare decoder."""

import io
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from benchmarks.timing import Comparison
from common.data import pipeline
from common.data.configs import PhotosConfig
from common.data.crops import cut_photos
from common.data.listings import Record

BATCH = 16


def make_photos(pixels: int, count: int) -> list[bytes]:
    """JPEGs about as hard to decode as photos: smooth areas, edges, some noise."""
    rng = np.random.default_rng(0)
    photos = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((pixels, pixels), Image.Resampling.BOX)
        noise = rng.normal(scale=6, size=(pixels, pixels, 1))
        image = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=90)
        photos.append(file.getvalue())
    return photos


class Photos:
    """A source of records with one photo each, the same few over and over."""

    def __init__(self, photos: list[bytes], count: int):
        self._photos, self._count = photos, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Record:
        return {"row": index, "images": [self._photos[index % len(self._photos)]]}


def read_batches(source: Photos, pixels: int, threads: int) -> Callable[[], int]:
    """Our pipeline, from start to close: it decodes all photos and a few ahead."""
    config = PhotosConfig(resize=pixels, crop=pixels * 7 // 8)

    def load(record: Record, rng: np.random.Generator) -> pipeline.Batch:
        photos, mask = cut_photos(record["images"], config, rng)
        return {"photos": photos, "photo_mask": mask}

    def read() -> int:
        batches = pipeline.train_batches(
            source, load, batch_size=BATCH, seed=0, threads=threads
        )
        with batches:
            wanted = itertools.islice(batches, len(source) // BATCH)
            return sum(len(batch["photos"]) for batch in wanted)

    return read


def decode_bare(source: Photos, threads: int) -> Callable[[], int]:
    """Pillow alone: every photo to an array of RGB."""

    def decode(index: int) -> int:
        data = source[index]["images"][0]
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).shape[0]

    def read() -> int:
        if threads == 1:
            return sum(decode(index) > 0 for index in range(len(source)))
        with ThreadPoolExecutor(threads) as pool:
            return sum(rows > 0 for rows in pool.map(decode, range(len(source))))

    return read


def compare_pipelines(quick: bool, threads: int) -> Iterator[Comparison]:
    """Photos of 128 and of 512 pixels, of which 7/8 are cut out."""
    threads = threads or len(os.sched_getaffinity(0))
    for pixels, count in ((32, BATCH),) if quick else ((128, 4096), (512, 1024)):
        source = Photos(make_photos(pixels, min(count, 32)), count)
        ours = read_batches(source, pixels, threads)
        bare = decode_bare(source, threads)
        work = f"photos of {pixels} px: decode, crop, mirror, batch"
        yield Comparison(work, ("ours", ours), ("Pillow, decode", bare), images=count)
