"""Tables 2 to 5 of the paper, figure by figure.

Source: Yu et al., "Personalized Item Recommendation for Second-hand Trading Platform",
ACM MM 2020.
"""

SUBSETS = ("men", "women", "kids", "mix", "artworks")
LENGTHS = (5, 10, 20)

# {metric: rows}; in thousandths, lists of 5, 10 and 20 for one sub-dataset after another.
_PRINTED = {
    "accuracy": """
vbpr            0   0   0    3   3   3    0   0   0    0   0   0    0   0   0
vbpr-i         26  49  90   28  41  57   11  27  49   42  63 100   65  85 109
vbpr-ii        64  95 141   28  62  96   59  92 141   84 109 146   93 153 190
sherlock       13  23  28   10  23  47   11  27  49   54 100 126    4   8   8
sherlock-i     97 146 169   83 119 158  108 168 222  176 226 276   97 153 206
sherlock-ii   179 235 302  217 264 328  211 243 292  272 356 385  198 234 290
deepstyle       3   8  18   21  47  57   43  54  59   21  33  75    0   0   0
deepstyle-i    69  97 133   67  80 106   92 151 200  126 172 230  101 141 161
deepstyle-ii  110 161 248  114 150 222  195 232 276  184 264 351  149 198 258
coarse-fine-s 118 153 207   98 140 181  146 189 227  180 251 310  125 165 206
coarse-fine   210 266 309  243 295 336  222 281 335  293 360 393  210 262 339
""",
    "auc": """
vbpr            0   0   0    2   2   2    0   0   0    0   0   0    0   0   0
vbpr-i         17  27  47   15  25  34    7  13  26   22  30  52   40  53  64
vbpr-ii        44  62  87   24  33  55   36  58  83   46  65  91   60  88 113
sherlock        8  10  16    4   9  21   11  14  22   29  48  72    1   4   4
sherlock-i     51  81 110   56  72  96   53  93 135  106 137 163   52  82 115
sherlock-ii   108 148 190  136 174 216  115 153 194  158 215 255  119 155 184
deepstyle       0   3   9   16  24  35   26  36  47   13  14  32    0   0   0
deepstyle-i    43  61  81   41  55  63   57  81 120   66  88 130   68  85 104
deepstyle-ii   64  95 131   69  96 132  108 159 195   96 144 199  100 132 166
coarse-fine-s  64  91 126   59  82 106   73 114 143  110 155 192   69  97 122
coarse-fine   120 168 209  149 188 231  131 178 231  176 235 271  119 163 205
""",
    "ndcg": """
vbpr            0   0   0    1   0   0    0   0   0    0   0   0    0   0   0
vbpr-i          9   9  10    8   7   7    3   3   3   12  12  11   18  16  16
vbpr-ii        24  23  23   17  18  18   17  17  18   25  24  22   43  41  39
sherlock        3   3   3    3   3   3    4   6   7   14  16  16    1   1   1
sherlock-i     30  29  25   28  26  23   29  27  26   60  56  52   35  37  36
sherlock-ii    55  51  48   86  74  67   60  55  54  111 104  95   71  65  63
deepstyle       1   1   1    6   6   5   10   9   8    6   6   7    0   0   0
deepstyle-i    22  19  18   23  19  17   26  25  25   42  43  41   40  39  34
deepstyle-ii   36  34  36   39  38  37   62  56  53   69  69  69   68  61  59
coarse-fine-s  33  32  29   29  27  24   39  37  36   67  62  55   42  40  38
coarse-fine    61  56  50   76  69  61   69  63  61  119 105  95   78  70  70
""",
    "f1": """
vbpr            0   0   0    0   0   0    0   0   0    0   0   0    0   0   0
vbpr-i          5   5   6    4   4   4    0   1   2    1   2   4    6   7   8
vbpr-ii        15  15  14   10  10  10   12  12  12   11  11  12   20  25  28
sherlock        0   1   2    0   0   1    2   4   4    2   5   8    0   0   1
sherlock-i     12  15  14    8  10  11    9  13  19   10  15  21   13  19  24
sherlock-ii    24  28  31   38  41  40   34  34  35   37  44  48   36  40  43
deepstyle       0   1   1    0   1   2    6   6   4    1   2   2    0   0   0
deepstyle-i     8   9  11    6   6   7   13  16  17    5  11  15   15  21  21
deepstyle-ii   19  21  26   20  23  24   40  36  33   27  31  41   38  37  39
coarse-fine-s  12  18  20    9  12  14   21  23  24   11  16  21   18  22  26
coarse-fine    25  33  33   33  38  39   40  40  38   42  46  48   41  44  50
""",
}


def _read(text: str) -> dict[str, list[float]]:
    rows = (line.split() for line in text.strip().splitlines())
    return {name: [int(cell) / 1000 for cell in cells] for name, *cells in rows}


FIGURES = {metric: _read(text) for metric, text in _PRINTED.items()}


def figure(metric: str, row: str, subset: str, length: int) -> float | None:
    """A figure of the paper; None where it has none.

    Args:
      metric: "accuracy", "auc", "ndcg" or "f1".
      row: such as "vbpr-ii".
      subset: such as "men".
      length: K.
    """
    cells = FIGURES.get(metric, {}).get(row)
    if cells is None or subset not in SUBSETS or length not in LENGTHS:
        return None
    return cells[SUBSETS.index(subset) * len(LENGTHS) + LENGTHS.index(length)]
