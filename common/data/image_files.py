"""Where photos lie: a folder, or a tar archive read once."""

import hashlib
import os
import pathlib
import re
import stat
import tarfile
import tempfile
import threading
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import IO, Protocol

from common.data.images import ImageError
from common.errors import UserError
from common.tables.cells import quoted

ARCHIVE_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
MAX_FILE_BYTES = 100 * 2**20
MAX_ARCHIVE_BYTES = 200 * 2**30

# Endings that may stand for each other; sidecar files such as a.json are no photos.
_ENDING = re.compile(
    r"\.(jpe?g|png|webp|gif|bmp|tiff?|avif|jp2|p[bgp]m)", re.IGNORECASE
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class NoSuchImageError(ImageError):
    """There is no file of that name."""


class ImageStore(Protocol):
    """Photos by name."""

    def read(self, name: str) -> bytes:
        """Returns the bytes of one file; ImageError says why it can't."""
        ...

    def find(self, name: str) -> str:
        """Returns the one name that differs in case, ending or Unicode form alone."""
        ...

    def close(self) -> None:
        """Lets go of open files."""
        ...


def open_images(path: str | os.PathLike, scratch: str | None = None) -> ImageStore:
    """Opens a folder or an archive of photos.

    Args:
      path: a folder, or a tar file (plain, gz, xz, bz2). An archive is unpacked in
        one pass to a single unnamed temporary file, which is gone with the process.
      scratch: folder for that file; None for the system's.

    Raises:
      UserError: nothing there, not an archive, or an archive that unpacks to more than
        200 GiB.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return ImageFolder(path)
    _require_archive(path)
    return ImageArchive(path, scratch)


def fingerprint(path: str | os.PathLike, names: Collection[str]) -> str:
    """Hashes what would be read: the bytes of an archive, or the names, sizes and
    modification times of the photos below a folder.

    Other files in the folder do not count. A name that is not there to the letter counts
    by the files that differ from it in case, Unicode form or ending alone.

    Args:
      path: of the folder or archive.
      names: of the photos, as `clean_name` returns them.

    Raises:
      UserError: as `open_images`.
    """
    path = pathlib.Path(path)
    digest = hashlib.sha256()
    if not path.is_dir():
        _require_archive(path)
        try:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"{path}: can't be read ({error.strerror})") from error
    files = list(_files_below(path))
    missing = set(names).difference(files)
    alike = {_key(name) for name in missing}
    for relative in files:
        if relative in names or (alike and _key(relative) in alike):
            status = os.lstat(path / relative)
            line = f"{relative}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files_below(path: pathlib.Path) -> Iterator[str]:
    """Names of all files relative to a folder, in an order of their own."""
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            yield os.path.relpath(os.path.join(folder, name), path)


def read_closest(store: ImageStore, name: str) -> tuple[str, bytes]:
    """Reads the photo that a table names, as exactly as it can.

    Args:
      store: of the photos.
      name: as the table has it. Where there is no such file, the one is taken whose
        name differs in case, ending (also none) or Unicode form alone.

    Returns:
      (name under which the photo lies, its bytes).

    Raises:
      ImageError: why it can't be read; more than one such file.
    """
    try:
        return name, store.read(name)
    except ImageError as error:
        if _ADDRESS.match(name):
            raise ImageError(
                "a web address; download the photo and name its file"
            ) from error
        if not isinstance(error, NoSuchImageError):
            raise
    found = store.find(name)
    return found, store.read(found)


class _Lookalikes:
    """Names by what is left of them without case, ending and Unicode form.

    Args:
      list_names: gives all names; called once, when the first exact name is missed.
      missing: what is said of a name that none is like.
    """

    def __init__(self, list_names: Callable[[], Iterable[str]], missing: str):
        self._list_names, self._missing = list_names, missing
        self._by_key: dict[str, list[str]] | None = None
        self._lock = threading.Lock()

    def find(self, name: str) -> str:
        """Returns the only name that is like this one.

        Raises:
          NoSuchImageError: there is none, or more than one.
        """
        with self._lock:
            if self._by_key is None:
                self._by_key = {}
                for known in self._list_names():
                    self._by_key.setdefault(_key(known), []).append(known)
        alike = self._by_key.get(_key(clean_name(name)), [])
        if not alike:
            raise NoSuchImageError(self._missing)
        if len(alike) > 1:
            some = " and ".join(quoted(other) for other in sorted(alike)[:2])
            raise NoSuchImageError(f"{self._missing}, and {some} are equally like it")
        return alike[0]


def _key(name: str) -> str:
    stem, ending = os.path.splitext(name)
    text = stem if _ENDING.fullmatch(ending) else name
    for _ in range(2):  # folding may take a text out of its normal form
        text = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", text)


def clean_name(name: str) -> str:
    """Checks a name that a table or an archive gives.

    Returns:
      The name without `./` and doubled slashes.

    Raises:
      ImageError: for a name that could leave the root.
    """
    if not name or "\0" in name:
        raise ImageError("empty file name" if not name else "file name with a NUL")
    if "\\" in name:
        raise ImageError("file name with a backslash; write / between folders")
    if name.startswith("/") or pathlib.PureWindowsPath(name).drive:
        raise ImageError("absolute path; give it relative to the image folder")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise ImageError("path leaves the image folder")
    return "/".join(parts)


class ImageFolder:
    """Photos below a folder; links are followed only where they stay inside."""

    def __init__(self, root: str | os.PathLike):
        self._root = os.path.realpath(root)
        self._lookalikes = _Lookalikes(
            lambda: _files_below(pathlib.Path(self._root)), "no such file"
        )

    def find(self, name: str) -> str:
        """Returns the one name that differs in case, ending or Unicode form alone.

        Raises:
          ImageError: unsafe name, no such file, or more than one.
        """
        return self._lookalikes.find(name)

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file below the root.

        Raises:
          ImageError: unsafe name, no such file, too large.
        """
        full = os.path.realpath(os.path.join(self._root, clean_name(name)))
        if os.path.commonpath([self._root, full]) != self._root:
            raise ImageError("a link that leaves the image folder")
        try:
            status = os.stat(full)
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise ImageError(f"larger than {MAX_FILE_BYTES} bytes")
            return pathlib.Path(full).read_bytes()
        except FileNotFoundError as error:
            raise NoSuchImageError("no such file") from error
        except OSError as error:
            reason = f"can't be opened ({error.strerror})"
            raise ImageError(reason) from error

    def close(self) -> None:
        """Nothing is open between reads."""


class ImageArchive:
    """Photos of a tar archive.

    Members never become files: their bytes go one behind the other into one unnamed
    temporary file, so no name in an archive can reach the disk.
    """

    def __init__(self, path: str | os.PathLike, scratch: str | None = None):
        self._path = pathlib.Path(path)
        self._places: dict[str, tuple[int, int]] = {}
        self._refused: dict[str, str] = {}
        self._missing = f"no such file in {self._path.name}"
        self._lookalikes = _Lookalikes(lambda: self._places, self._missing)
        # Lives as long as the archive.
        self._spool = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        try:
            with tarfile.open(self._path, "r|*") as archive:
                self._unpack(archive)
        except UserError:
            self._spool.close()
            raise
        except Exception as error:  # tar, gzip, lzma and bz2 have their own each
            self._spool.close()
            words = " ".join(str(error).split())
            raise UserError(
                f"{self._path}: can't be unpacked ({words}); check or pack it again"
            ) from error

    def _unpack(self, archive: tarfile.TarFile) -> None:
        total = 0
        for member in archive:
            total += member.size
            if total > MAX_ARCHIVE_BYTES:
                raise UserError(
                    f"{self._path}: unpacks to more than {MAX_ARCHIVE_BYTES} bytes;"
                    " unpack it into a folder yourself"
                )
            if not member.isdir():
                self._add(archive, member)
        self._spool.flush()

    def _add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Spools one member, or notes why it is refused."""
        try:
            name = clean_name(member.name)
            target = clean_name(member.linkname) if member.islnk() else ""
        except ImageError:
            return  # such a name can't be asked for either
        if name in self._places or name in self._refused:
            self._places.pop(name, None)
            self._refused[name] = "stands twice in the archive"
        elif target in self._places:  # a hard link to a file of the same archive
            self._places[name] = self._places[target]
        elif not member.isreg():
            self._refused[name] = "a link or a device, not a file"
        elif member.size > MAX_FILE_BYTES:
            self._refused[name] = f"larger than {MAX_FILE_BYTES} bytes"
        else:
            source = archive.extractfile(member)
            assert source is not None  # regular members have contents
            self._places[name] = self._append(source)

    def _append(self, source: IO[bytes]) -> tuple[int, int]:
        start = self._spool.tell()
        data = source.read()
        self._spool.write(data)
        return start, len(data)

    def read(self, name: str) -> bytes:
        """Returns the bytes of a member; safe in threads.

        Raises:
          ImageError: unsafe name, no such member, or one that was refused.
        """
        name = clean_name(name)
        if name in self._refused:
            raise ImageError(self._refused[name])
        if name not in self._places:
            raise NoSuchImageError(self._missing)
        start, size = self._places[name]
        return os.pread(self._spool.fileno(), size, start)

    def find(self, name: str) -> str:
        """Returns the one name that differs in case, ending or Unicode form alone.

        Raises:
          ImageError: unsafe name, no such member, or more than one.
        """
        return self._lookalikes.find(name)

    def close(self) -> None:
        """Gives the temporary file back."""
        self._spool.close()


def _require_archive(path: pathlib.Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: no image folder or archive there; check the path")
    if not path.is_file() or not path.name.lower().endswith(ARCHIVE_ENDINGS):
        endings = ", ".join(ARCHIVE_ENDINGS)
        raise UserError(f"{path}: neither a folder nor an archive ({endings})")
