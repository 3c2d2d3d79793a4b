import pandas as pd
import pytest

from common.config import configs
from common.errors import UserError
from recsys.config import Config
from recsys.corpus.user_files import read_users


def test_users_and_pairs_come_in_order_and_bad_rows_with_their_reasons(tmp_path):
    path = tmp_path / "asked.csv"
    path.write_text("user,item\nb,i1\na,\nb,i2\n,i3\n5.0,7.0\nc,9.1e+15\n")
    asked = read_users(path, Config())
    assert asked.users == ["b", "a", "5"]
    assert asked.pairs == [("b", "i1"), ("b", "i2"), ("5", "7")]
    assert asked.failed.columns.tolist() == ["user", "note", "error"]
    assert asked.failed["user"].tolist() == ["", ""]
    reasons = asked.failed["error"].tolist()
    assert reasons[0] == "line 5: an empty cell where an id must stand"
    assert reasons[1].startswith("line 7: 9.1e+15 is a float of 2^53 or more")


def test_a_table_needs_no_items_and_its_columns_may_have_other_names(tmp_path):
    config = configs.replace(Config(), {"data.user": "who", "data.item": "what"})
    path = tmp_path / "asked.parquet"
    pd.DataFrame({"who": ["b", "a", "b"]}).to_parquet(path)
    asked = read_users(path, config)
    assert (asked.users, asked.pairs, len(asked.failed)) == (["b", "a"], [], 0)
    with pytest.raises(UserError, match="no column 'user'"):
        read_users(path, Config())
