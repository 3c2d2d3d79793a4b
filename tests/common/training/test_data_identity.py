import dataclasses

from common.training import workdirs
from common.training.data_identity import note_other_data


@dataclasses.dataclass(frozen=True)
class Config:
    """Nothing that matters here."""

    steps: int = 1


def test_other_data_are_told_in_one_line(tmp_path):
    said: list[str] = []
    workdirs.start_record(tmp_path, "toy", Config())
    assert note_other_data(tmp_path, "a" * 64, said.append) == {}  # of an old version
    workdirs.add_facts(tmp_path, {"data": "a" * 64})
    assert note_other_data(tmp_path, "a" * 64, said.append) == {} and said == []
    assert note_other_data(tmp_path, "b" * 64, said.append) == {"other_data": True}
    (line,) = said
    assert line.startswith(
        f"note: the data are not those that {tmp_path} was trained on"
    )
    assert "a" * 16 in line and "b" * 16 in line and "\n" not in line
    workdirs.write_metrics(tmp_path / "m.json", {"test/x": 0.5, "other_data": True})
    assert '"other_data": true' in (tmp_path / "m.json").read_text()
