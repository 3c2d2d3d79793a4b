import csv
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.tables import csv_records

FIELDS = st.text('ab",;\t\n ', max_size=8) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8
)


def written(rows, delimiter=",") -> list[str]:
    """The text of each record, written by the standard library."""
    texts = []
    for row in rows:
        file = io.StringIO(newline="")
        writer = csv.writer(
            file, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n"
        )
        writer.writerow(row)
        texts.append(file.getvalue())
    return texts


@given(
    st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=6),
    st.sampled_from(csv_records.DELIMITERS),
)
def test_records_gives_fields_and_the_line_where_each_record_starts(rows, delimiter):
    texts = written(rows, delimiter)
    found = list(csv_records.records("".join(texts).encode(), delimiter))
    assert [fields for _, fields, _ in found] == rows
    lines = [1 + "".join(texts[:i]).count("\n") for i in range(len(texts))]
    assert [line for line, _, _ in found] == lines
    assert all(fault == "" for _, _, fault in found)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_records_knows_all_line_ends_and_skips_blank_lines(end):
    data = end.join(["a,b", "", "1,2", "", "3,4"]).encode()
    found = [(line, fields) for line, fields, _ in csv_records.records(data, ",")]
    assert found == [(1, ["a", "b"]), (3, ["1", "2"]), (5, ["3", "4"])]


def test_an_open_quote_costs_one_line():
    data = b'a,b\n1,2\n3,"4\n5,6\n7,8\n'
    found = list(csv_records.records(data, ","))
    assert [fields for _, fields, fault in found if not fault] == [
        ["a", "b"],
        ["1", "2"],
        ["5", "6"],
        ["7", "8"],
    ]
    (broken,) = [(line, fault) for line, _, fault in found if fault]
    assert broken == (3, "can't be parted into fields: unexpected end of data")


def test_a_quote_inside_a_quoted_field_and_a_huge_field_cost_their_line():
    huge = b"x" * 200_000
    data = b'a,b\n"5" ring",2\n' + huge + b",1\n3,4\n"
    found = list(csv_records.records(data, ","))
    assert [(line, bool(fault)) for line, _, fault in found] == [
        (1, False),
        (2, True),
        (3, True),
        (4, False),
    ]
    assert "field larger than field limit" in found[2][2]


@given(st.binary(max_size=200), st.sampled_from(csv_records.DELIMITERS))
def test_records_reads_any_text(data, delimiter):
    data = data.decode("utf-8", "ignore").encode()
    lines = [line for line, _, _ in csv_records.records(data, delimiter)]
    assert lines == sorted(set(lines))


def test_read_utf8_unpacks_gzip_and_keeps_bytes(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress("a\né\n".encode(), mtime=0))
    assert csv_records.read_utf8(path).decode() == "a\né\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        ("a,b\n1,2\n".encode("utf-16"), "written in UTF-16: save the table as UTF-8"),
        ("a,b\n1,2\n".encode("utf-32"), "written in UTF-32"),
        ("name\nok\ncafé\n".encode("latin-1"), r"byte 11 \(0xe9\), line 3; .*Latin-1"),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "damaged gzip file"),
        (b"\x1f\x8bnonsense", "damaged gzip file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "a Git LFS pointer, not the table itself: get it by `git lfs pull`",
        ),
    ],
)
def test_read_utf8_says_what_is_wrong_with_a_file(tmp_path, data, message):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        csv_records.read_utf8(path)
    assert str(path) in str(caught.value)


def test_read_utf8_reports_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        csv_records.read_utf8(tmp_path / "missing.csv")
    with pytest.raises(UserError, match="Is a directory"):
        csv_records.read_utf8(tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([], "no header can be read"),
        (["a", ""], "column 2 of the header has no name"),
        (["a", "b", "a"], "names 'a' twice"),
        (["a\0", "b"], "NUL bytes"),
    ],
)
def test_check_header_refuses(header, message):
    with pytest.raises(UserError, match=message):
        csv_records.check_header("t.csv", header)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a,b\n", (",", 0, ["a", "b"])),
        (b"a|b|c\n", ("|", 0, ["a", "b", "c"])),
        (b"a;b,c\n", (",", 0, ["a;b", "c"])),
        (b"sep=;\r\na;b,c,d\r\n", (";", 1, ["a", "b,c,d"])),
        (b"\xef\xbb\xbfSEP=,\na,b;c;d\n", (",", 1, ["a", "b;c;d"])),
        (b'"sep=|"\na|b\n', ("|", 1, ["a", "b"])),
        (b"sep=\t\na\tb\n", ("\t", 1, ["a", "b"])),
        (b"sepal=1;b\n", (";", 0, ["sepal=1", "b"])),
        (b"", (",", 0, [])),
    ],
)
def test_find_header(data, expected):
    assert csv_records.find_header(data) == expected


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (rb'"5\" ring"', b'"5"" ring"'),
        (rb'"\"\""', b'""""""'),
        (rb'"C:\\"', rb'"C:\\"'),  # a backslash that is escaped itself
        (rb'"a\\\""', rb'"a\\"""'),
        (rb'"\n"', rb'"\n"'),
    ],
)
def test_double_quotes(written, plain):
    assert csv_records.double_quotes(written) == plain
