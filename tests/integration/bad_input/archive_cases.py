"""Archives of photos with all that strangers put into them."""

import bz2
import dataclasses
import gzip
import io
import lzma
import random
import tarfile
from collections.abc import Callable, Iterator

from tests.integration.bad_input import damage, photo_cases, photo_files
from tests.integration.bad_input.bench import REFUSED, REJECTED, WORKS, Bench, Case
from tests.integration.bad_input.photo_cases import BAD, GOOD, OPEN

Fill = Callable[[tarfile.TarFile], None]


def _member(archive: tarfile.TarFile, name: str, data: bytes, **fields) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(data))


def _pack(fill: Fill | None = None, **options) -> bytes:
    """A tar file with the photos of the plain rows and whatever `fill` adds."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as archive:
        for name, data in photo_cases.plain_photos().items():
            _member(archive, name, data)
        if fill is not None:
            fill(archive)
    return file.getvalue()


def _adds(name: str, data: bytes | None = None, **fields) -> Fill:
    content = photo_files.encode() if data is None else data
    return lambda archive: _member(archive, name, content, **fields)


@dataclasses.dataclass(frozen=True)
class _ArchiveCase:
    """Rows whose photos lie in an archive.

    Attributes:
      content: of the archive.
      wanted: right outcomes.
      odd: (photo, state) of a row behind the plain ones.
      name: of the archive.
    """

    content: bytes
    wanted: tuple[str, ...] = (REFUSED,)
    odd: tuple[tuple[str, str], ...] = ()
    name: str = "photos.tar"

    def __call__(self, bench: Bench) -> str:
        archive = bench.write(self.name, self.content)
        bench.write("secret.jpg", photo_files.encode())
        table = photo_cases.write_table(bench, [name for name, _ in self.odd])
        states = [state for _, state in self.odd]
        outcome = photo_cases.check(bench, table, archive, states)
        assert outcome in self.wanted, f"{outcome}, wanted {self.wanted}"
        files = {path.name for path in bench.folder.iterdir()}
        allowed = {self.name, "secret.jpg", "table.csv", "schema.json", "cache"}
        assert files <= allowed, f"unpacked to the disk: {files - allowed}"
        return outcome


def _members() -> Iterator[tuple[str, _ArchiveCase]]:
    """Members that do no harm, and can't be had unless they are plain files."""
    link, hard, device = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
    harmless = {
        "../secret.jpg": _adds("../secret.jpg"),
        "/tmp/secret.jpg": _adds("/tmp/secret.jpg"),
        "a/../../secret.jpg": _adds("a/../../secret.jpg"),
        "C:/x.jpg": _adds("C:/x.jpg"),
        "a\\b.jpg": _adds("a\\b.jpg"),
        "link.jpg": _adds("link.jpg", b"", type=link, linkname="/etc/passwd"),
        "inner.jpg": _adds("inner.jpg", b"", type=link, linkname="0.jpg"),
        "up.jpg": _adds("up.jpg", b"", type=link, linkname="../secret.jpg"),
        "hard.jpg": _adds("hard.jpg", b"", type=hard, linkname="/etc/passwd"),
        "climb.jpg": _adds("climb.jpg", b"", type=hard, linkname="../secret.jpg"),
        "missing.jpg": _adds("missing.jpg", b"", type=hard, linkname="nothing.jpg"),
        "device.jpg": _adds("device.jpg", b"", type=device, devmajor=1, devminor=5),
        "block.jpg": _adds("block.jpg", b"", type=tarfile.BLKTYPE),
        "pipe.jpg": _adds("pipe.jpg", b"", type=tarfile.FIFOTYPE),
        "folder": _adds("folder", b"", type=tarfile.DIRTYPE),
        "empty.jpg": _adds("empty.jpg", b""),
        "text.jpg": _adds("text.jpg", b"no photo"),
        "bomb.jpg": _adds("bomb.jpg", photo_files.png_of(60_000, 60_000)),
        "nothing.jpg": _adds("another.jpg"),
        "strange.jpg": _adds("strange.jpg", b"", type=b"Z"),
    }
    for name, fill in harmless.items():
        yield f"member {name}", _ArchiveCase(_pack(fill), (REJECTED,), ((name, BAD),))

    def twice(archive: tarfile.TarFile) -> None:
        _member(archive, "twice.jpg", photo_files.encode())
        _member(archive, "twice.jpg", photo_files.encode("L"))

    yield "member twice", _ArchiveCase(_pack(twice), (REJECTED,), (("twice.jpg", BAD),))
    long = "x/" * 300 + "x.jpg"
    odd = (("./a b/é🙂.jpg", "a b/é🙂.jpg"), ("x.jpg", "./x.jpg"), (long, long))
    for stored, asked in odd:
        case = _ArchiveCase(_pack(_adds(stored)), (WORKS,), ((asked, GOOD),))
        yield f"member {stored[:20]}", case
    hard_link = _adds("hard.jpg", b"", type=hard, linkname="0.jpg")
    yield (
        "hard link inside",
        _ArchiveCase(_pack(hard_link), (WORKS,), (("hard.jpg", GOOD),)),
    )
    for kind in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT):
        yield f"format {kind}", _ArchiveCase(_pack(format=kind), (WORKS,))
    for key, value in {"size": "-5", "path": "../up.jpg", "mtime": "x"}.items():
        fill = _adds("pax.jpg", pax_headers={key: value})
        yield (
            f"PAX {key}",
            _ArchiveCase(
                _pack(fill, format=tarfile.PAX_FORMAT),
                (REFUSED, REJECTED, WORKS),
                (("pax.jpg", OPEN),),
            ),
        )


def _huge(archive: tarfile.TarFile) -> None:
    """A header that claims 8 TiB, and nothing behind it."""
    info = tarfile.TarInfo("huge.jpg")
    info.size = 2**43
    archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))


def _files() -> Iterator[tuple[str, _ArchiveCase]]:
    """Whole archives, good and broken."""
    plain = _pack()
    for ending, squeeze in ((".gz", gzip), (".xz", lzma), (".bz2", bz2)):
        packed, name = squeeze.compress(plain), "photos.tar" + ending
        yield f"good {ending}", _ArchiveCase(packed, (WORKS,), name=name)
        for share in (0.01, 0.5, 0.95):
            cut = packed[: int(share * len(packed))]
            yield f"{ending} cut at {share:.0%}", _ArchiveCase(cut, name=name)
        noise = packed[:20] + random.Random(1).randbytes(len(packed) - 20)
        yield f"{ending} with noise", _ArchiveCase(noise, name=name)
    yield (
        "plain tar under another name",
        _ArchiveCase(plain, (WORKS,), name="photos.tar.gz"),
    )
    yield "empty file", _ArchiveCase(b"")
    yield "zeros", _ArchiveCase(bytes(10240), (REJECTED, REFUSED))
    yield "zip", _ArchiveCase(b"PK\3\4" + bytes(500))
    yield "text", _ArchiveCase(b"no archive\n" * 100)
    yield "noise", _ArchiveCase(random.Random(2).randbytes(5000))
    yield "ending .zip", _ArchiveCase(plain, name="photos.zip")
    yield "ending .rar", _ArchiveCase(plain, name="photos.rar")
    yield "huge member", _ArchiveCase(_pack(_huge), odd=(("huge.jpg", BAD),))
    for share in (0.001, 0.1, 0.3):
        cut = plain[: int(share * len(plain))]
        wanted = (REFUSED, REJECTED)
        yield f"tar cut at {share:.1%}", _ArchiveCase(cut, wanted)
    for seed in range(16):
        way = damage.WAYS[seed % len(damage.WAYS)]
        odd = tuple((f"{i}.jpg", OPEN) for i in range(4))
        content = way(plain[:4096], seed) + plain[4096:]
        yield (
            f"{way.__name__} {seed}",
            _ArchiveCase(content, (WORKS, REJECTED, REFUSED), odd),
        )


def archive_cases(count: int) -> Iterator[Case]:
    """Archives by what is in them, then by what happened to them."""
    found = [*_members(), *_files()]
    assert len(found) >= count, len(found)
    for name, run in found[:count]:
        yield Case("archives", name, run)
