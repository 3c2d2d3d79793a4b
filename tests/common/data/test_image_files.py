"""Stores of photos: what is read, and what can never be reached."""

import hashlib
import io
import os
import tarfile

import pytest

from common.data import image_files
from common.data.images import ImageError
from common.errors import UserError

UNSAFE = {
    "": "empty",
    "a\0b": "NUL",
    "/etc/passwd": "absolute",
    "C:/x.jpg": "absolute",
    "a\\b.jpg": "backslash",
    "../secret": "leaves",
    "a/../../secret": "leaves",
    "a/..": "leaves",
    ".": "leaves",
}


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                archive.addfile(info)
    return path


@pytest.fixture(params=["folder", "w", "w:gz", "w:xz", "w:bz2"])
def store(request, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    if request.param == "folder":
        root = tmp_path / "photos"
        (root / "sub").mkdir(parents=True)
        (root / "a.jpg").write_bytes(b"AAA")
        (root / "sub" / "b c.jpg").write_bytes(b"B")
        opened = image_files.open_images(root)
    else:
        ending = request.param.replace("w:", ".tar.").replace("w", ".tar")
        members = [
            ("./sub", (tarfile.DIRTYPE, "")),
            ("./sub/b c.jpg", b"B"),
            ("a.jpg", b"AAA"),
        ]
        path = write_tar(tmp_path / f"photos{ending}", members, request.param)
        opened = image_files.open_images(path)
    yield opened
    opened.close()


def test_files_are_read_in_any_order(store):
    assert store.read("a.jpg") == b"AAA"
    assert store.read("sub/b c.jpg") == b"B"
    assert store.read("./sub//b c.jpg") == b"B"
    assert store.read("a.jpg") == b"AAA"


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names_are_refused(store, name):
    with pytest.raises(ImageError, match=UNSAFE[name]):
        store.read(name)


def test_missing_files_and_folders_are_reasons(store):
    with pytest.raises(ImageError, match="no such file"):
        store.read("c.jpg")
    with pytest.raises(ImageError):
        store.read("sub")
    with pytest.raises(ImageError):
        store.read("a.jpg/b.jpg")
    with pytest.raises(ImageError):
        store.read("x" * 5000)


LOOKALIKES = {
    "IMG_1.JPG": b"1",
    "img_2.jpeg": b"2",
    "sub/caf\u00e9 \u2460.png": b"3",
    "Stra\u00dfe.webp": b"4",
    "5": b"5",
    "6.jpg": b"6",
    "6.json": b"no photo",
    "._6.jpg": b"no photo",
    "7.tar.jpg": b"7",
    "8.jpg": b"8",
    "8.PNG": b"8 too",
    "9.JPG": b"9",
    "9.jpg": b"9 too",
}


@pytest.fixture(params=["folder", "archive"])
def lookalikes(request, tmp_path):
    root = tmp_path / "photos"
    if request.param == "folder":
        for name, content in LOOKALIKES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    else:
        root = write_tar(tmp_path / "photos.tar", list(LOOKALIKES.items()))
    opened = image_files.open_images(root)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("img_1.jpg", "IMG_1.JPG"),
        ("./IMG_1.jpeg", "IMG_1.JPG"),
        ("IMG_1.png", "IMG_1.JPG"),
        ("IMG_1", "IMG_1.JPG"),
        ("IMG_2.jpg", "img_2.jpeg"),
        ("sub/cafe\u0301 \u2460.PNG", "sub/caf\u00e9 \u2460.png"),
        ("SUB/CAF\u00c9 \u2460.jpg", "sub/caf\u00e9 \u2460.png"),
        ("STRASSE.webp", "Stra\u00dfe.webp"),
        ("5.jpg", "5"),
        ("6.JPG", "6.jpg"),
        ("7.TAR", "7.tar.jpg"),
        ("8.jpg", "8.jpg"),  # exactly so
        ("9.jpg", "9.jpg"),
    ],
)
def test_a_name_of_another_case_ending_or_unicode_form_is_found(
    lookalikes, name, found
):
    assert image_files.read_closest(lookalikes, name) == (found, LOOKALIKES[found])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("8.gif", "no such file.*, and '8.PNG' and '8.jpg' are equally like it"),
        ("9.Jpg", "no such file.*, and '9.JPG' and '9.jpg' are equally like it"),
        ("6.txt", "no such file"),
        ("cafe \u2460.png", "no such file"),  # lies in a folder
        ("IMG_1.JPG.zip", "no such file"),
        ("IMG_1 .JPG", "no such file"),
        ("../IMG_1.JPG", "leaves the image folder"),
        ("https://shop.example/IMG_1.JPG", "a web address; download the photo"),
        ("HTTP://x/" + "y" * 5000, "a web address; download the photo"),
        ("s3://x/../y.jpg", "a web address; download the photo"),
    ],
)
def test_only_one_candidate_is_taken(lookalikes, name, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        image_files.read_closest(lookalikes, name)
    assert "\n" not in str(caught.value)


def test_a_folder_is_listed_once_and_only_where_a_name_is_missed(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"A")
    walks = []
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda *args: walks.append(args) or walk(*args))
    store = image_files.open_images(tmp_path)
    assert image_files.read_closest(store, "a.jpg") == ("a.jpg", b"A")
    assert walks == []
    for _ in range(3):
        assert image_files.read_closest(store, "A.JPG") == ("a.jpg", b"A")
        with pytest.raises(ImageError, match="no such file"):
            image_files.read_closest(store, "b.jpg")
    assert len(walks) == 1


def test_a_lookalike_that_is_no_file_inside_is_refused(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (root / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "broken.jpg").symlink_to("nowhere")
    store = image_files.open_images(root)
    with pytest.raises(ImageError, match="leaves the image folder"):
        image_files.read_closest(store, "OUT.JPG")
    for name in ("broken.jpg", "BROKEN.jpg"):
        with pytest.raises(ImageError, match="no such file"):
            image_files.read_closest(store, name)


def test_links_of_a_folder_are_followed_only_inside(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "photos2").mkdir()
    (tmp_path / "photos2" / "x.jpg").write_bytes(b"secret")
    (root / "a.jpg").write_bytes(b"AAA")
    (root / "inside.jpg").symlink_to("a.jpg")
    (root / "outside.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "away").symlink_to(tmp_path)
    (root / "twin").symlink_to(tmp_path / "photos2")
    (root / "broken.jpg").symlink_to("nowhere")
    os.mkfifo(root / "pipe.jpg")
    store = image_files.open_images(root)
    assert store.read("inside.jpg") == b"AAA"
    for name in ("outside.jpg", "away/secret.jpg", "twin/x.jpg"):
        with pytest.raises(ImageError, match="leaves the image folder"):
            store.read(name)
    with pytest.raises(ImageError, match="no such file"):
        store.read("broken.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        store.read("pipe.jpg")


def test_a_linked_root_is_fine(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"AAA")
    (tmp_path / "link").symlink_to("real")
    assert image_files.open_images(tmp_path / "link").read("a.jpg") == b"AAA"


def test_members_that_are_no_plain_files(tmp_path):
    members = [
        ("a.jpg", b"AAA"),
        ("hard.jpg", (tarfile.LNKTYPE, "a.jpg")),
        ("hard_out.jpg", (tarfile.LNKTYPE, "../../etc/passwd")),
        ("hard_none.jpg", (tarfile.LNKTYPE, "later.jpg")),
        ("soft.jpg", (tarfile.SYMTYPE, "/etc/passwd")),
        ("device.jpg", (tarfile.CHRTYPE, "")),
        ("pipe.jpg", (tarfile.FIFOTYPE, "")),
        ("../out.jpg", b"out"),
        ("/abs.jpg", b"out"),
        ("twice.jpg", b"1"),
        ("./twice.jpg", b"2"),
    ]
    before = set(os.listdir(tmp_path))
    store = image_files.open_images(write_tar(tmp_path / "x.tar", members))
    assert store.read("a.jpg") == store.read("hard.jpg") == b"AAA"
    for name in ("hard_none.jpg", "soft.jpg", "device.jpg", "pipe.jpg"):
        with pytest.raises(ImageError, match="a link or a device"):
            store.read(name)
    for name in ("hard_out.jpg", "out.jpg", "abs.jpg"):
        with pytest.raises(ImageError, match="no such file"):
            store.read(name)
    with pytest.raises(ImageError, match="twice"):
        store.read("twice.jpg")
    store.close()
    assert set(os.listdir(tmp_path)) - before == {"x.tar"}


def test_sizes_are_bounded(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "x.tar", [("a", b"12345"), ("b", b"123456")])
    monkeypatch.setattr(image_files, "MAX_FILE_BYTES", 5)
    store = image_files.open_images(path)
    assert store.read("a") == b"12345"
    with pytest.raises(ImageError, match="larger than 5 bytes"):
        store.read("b")
    store.close()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b").write_bytes(b"123456")
    with pytest.raises(ImageError, match="larger than 5 bytes"):
        image_files.open_images(tmp_path / "folder").read("b")
    monkeypatch.setattr(image_files, "MAX_ARCHIVE_BYTES", 10)
    with pytest.raises(UserError, match="unpacks to more than 10 bytes"):
        image_files.open_images(path)


def test_damaged_or_missing_archives_are_user_errors(tmp_path):
    good = write_tar(tmp_path / "good.tar.xz", [("a", os.urandom(20_000))], "w:xz")
    data = good.read_bytes()
    for name, content in {
        "cut.tar.xz": data[:9_000],
        "text.tar.gz": b"hello",
        "text.tar": b"hello",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: can't be unpacked"):
            image_files.open_images(tmp_path / name)
    flipped = bytearray(data)
    flipped[5000] ^= 255
    (tmp_path / "flipped.tar.xz").write_bytes(bytes(flipped))
    with pytest.raises(UserError, match="can't be unpacked"):
        image_files.open_images(tmp_path / "flipped.tar.xz")
    for function in (image_files.open_images, hash_all):
        with pytest.raises(UserError, match="no image folder or archive there"):
            function(tmp_path / "none.tar")
        with pytest.raises(UserError, match="neither a folder nor an archive"):
            function(write_tar(tmp_path / "x.zip", []))


def hash_all(path):
    """The fingerprint of a folder whose table names all that these tests write."""
    return image_files.fingerprint(path, ["a", "b", "c", "d", "sub/e.jpg"])


def test_fingerprint_sees_every_change(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    (root / "a").write_bytes(b"1")
    (root / "b").write_bytes(b"2")
    seen = [hash_all(root)]
    assert hash_all(root) == seen[0]
    (root / "c").write_bytes(b"")
    seen.append(hash_all(root))
    (root / "b").write_bytes(b"22")
    seen.append(hash_all(root))
    os.utime(root / "a", ns=(1, 1))
    seen.append(hash_all(root))
    (root / "a").rename(root / "d")
    seen.append(hash_all(root))
    (root / "sub").mkdir()
    (root / "sub" / "e.jpg").write_bytes(b"3")
    seen.append(hash_all(root))
    archive = write_tar(tmp_path / "x.tar", [("a", b"1")])
    seen.append(hash_all(archive))
    write_tar(archive, [("a", b"2")])
    seen.append(hash_all(archive))
    assert len(set(seen)) == len(seen)


def test_files_that_no_row_names_do_not_count(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.jpg", "sub/a.jpg", "a.jpg"):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, ns=(7, 7))
    names = ["a.jpg", "sub/a.jpg", "b.jpg"]
    plain = image_files.fingerprint(tmp_path, names)
    # As every version has written it: sorted, a folder's files before those below it.
    lines = "a.jpg\0005\0007\nb.jpg\0005\0007\nsub/a.jpg\0009\0007\n"
    assert plain == hashlib.sha256(lines.encode()).hexdigest()
    for foreign in (".DS_Store", "Thumbs.db", "sub/c.jpg", "aa/a.jpg", "a.jpg.bak"):
        (tmp_path / foreign).parent.mkdir(exist_ok=True)
        (tmp_path / foreign).write_bytes(b"x")
        assert image_files.fingerprint(tmp_path, names) == plain
    (tmp_path / "a.jpg").write_bytes(b"other")
    assert image_files.fingerprint(tmp_path, names) != plain


def test_a_name_of_another_case_or_ending_counts_by_what_is_like_it(tmp_path):
    (tmp_path / "caf\u00e9.jpg").write_bytes(b"1")
    (tmp_path / "other.jpg").write_bytes(b"2")
    for moment, name in enumerate(("CAFE\u0301.JPG", "cafe\u0301.png")):
        before = image_files.fingerprint(tmp_path, [name])
        (tmp_path / "other.jpg").write_bytes(b"3")
        assert image_files.fingerprint(tmp_path, [name]) == before
        os.utime(tmp_path / "caf\u00e9.jpg", ns=(1, moment))
        assert image_files.fingerprint(tmp_path, [name]) != before
