import pytest

from common.backbone import train
from common.backbone.main import main
from common.config import configs


def call(*flags):
    with pytest.raises(SystemExit) as ended:
        main(["backbone", *map(str, flags)])
    return ended.value.code


def test_prints_accuracies_and_where_the_weights_are(run, tmp_path, capsys):
    flagfile = tmp_path / "tiny.flags"
    flagfile.write_text("\n".join(configs.flag_lines(run.config)))
    assert call(f"--flagfile={flagfile}", f"--workdir={run.workdir}") == 0
    out = capsys.readouterr().out
    assert f"weights: {run.workdir / train.WEIGHTS}" in out
    (line,) = (x for x in out.splitlines() if f"{run.values['test/top1']:.3f}" in x)
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells == [
        f"{run.values['test/top1']:.3f}",
        f"{run.values['test/top5']:.3f}",
        str(run.values["test/n"]),
        f"{run.values['test/majority_top1']:.3f}",
    ]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--dept=18"], "depth"),
        (["--depth=17"], "depth"),
        (["--mode=predict"], "train"),
        (["--data.images=nowhere"], "nowhere"),
        ([], "--data.images"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(flags, message, tmp_path, capsys):
    assert call(f"--workdir={tmp_path}", *flags) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == "" and line.startswith("error: ") and message in line
