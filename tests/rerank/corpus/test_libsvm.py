import numpy as np

from rerank.config import DataConfig
from rerank.corpus.libsvm import is_libsvm, read_lines

LINES = """\
2 qid:7 1:0.5 3:-2e1 # docid = GX1
# a comment

0 qid:7 2:1
1 qid:b
3 quid:7 1:1
1 qid: 1:1
1 qid:7 0:1
1 qid:7 1:x
1 qid:7 1:1 200000:1
"""


def test_lines_are_read(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(LINES)
    assert is_libsvm(path)
    table, features = read_lines(path, DataConfig(purchase="grade"))
    assert table.frame.to_dict("list") == {
        "request": ["7", "7", "b"],
        "item": ["1", "4", "5"],
        "grade": ["2", "0", "1"],
    }
    assert table.line.tolist() == [1, 4, 5]
    np.testing.assert_array_equal(features, [[0.5, 0, -20], [0, 1, 0], [0, 0, 0]])
    assert [fault.line for fault in table.rejected] == [6, 7, 8, 9, 10]
    for fault, words in zip(
        table.rejected,
        ["no qid", "no qid", "'0:1'", "'1:x' has no number", "'200000:1'"],
        strict=True,
    ):
        assert words in fault.reason


def test_other_files_are_not_taken_for_it(tmp_path):
    for name, text in {
        "table.csv": "request,item,click\n1,2,0\n",
        "plain.svm": "1 1:0.5 2:3\n",
        "empty.txt": "",
    }.items():
        (tmp_path / name).write_text(text)
        assert not is_libsvm(tmp_path / name)
    assert not is_libsvm(tmp_path) and not is_libsvm(tmp_path / "none")
