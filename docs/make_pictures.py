"""Makes the pictures of the documentation: `python docs/make_pictures.py`.

`docs/rings.png` shows eight generated rings, each with its price and two attributes.
`docs/report.png` is not drawn here: it is the top of `report.html` of
`experiments/flagfiles/forecast_quickstart.flags`, 1,275 points wide, scaled to 1,020.
"""

import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

_ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT))  # docs is no package

from ican.generated import rings

_SIDE, _CAPTION, _ACROSS, _DOWN = 176, 40, 4, 2
_COLOURS = 256  # of the palette: keeps the file small


def make_rings(path: pathlib.Path) -> None:
    """Writes a sheet of the first rings that state a kind and a carat."""
    config = rings.RingsConfig(
        train_count=60, validation_count=1, test_count=1, pixels=_SIDE
    )
    sheet = Image.new(
        "RGB", (_ACROSS * _SIDE, _DOWN * (_SIDE + _CAPTION)), (255, 255, 255)
    )
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    shown = 0
    for row, _ in rings.rows(config):
        if not row["center_carat"] or row["center_stone"] in (None, "none"):
            continue
        x, y = shown % _ACROSS * _SIDE, shown // _ACROSS * (_SIDE + _CAPTION)
        photo = rings.draw(config, int(row["ring"])).image
        sheet.paste(Image.fromarray(photo), (x, y))
        stone = f"{row['center_stone']}, {row['center_carat']:.2f} carat"
        pen.text((x + 6, y + _SIDE + 4), f"${row['price']:,.0f}", (0, 0, 0), font)
        pen.text((x + 6, y + _SIDE + 20), stone, (90, 90, 90), font)
        shown += 1
        if shown == _ACROSS * _DOWN:
            break
    # Few pixels are stones, but theirs are the colours that must stay.
    palette = sheet.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=2)
    sheet.quantize(palette=palette).save(path, optimize=True)


if __name__ == "__main__":
    make_rings(_ROOT / "docs" / "rings.png")
