"""Text as words: one tokenizer for all alphabets.

Letters are compared without case and compatibility forms (NFKC, case folding), so that
ＧＯＬＤ, Gold and gold are one word. A token is

- a word: a run of letters and their marks in a script that parts words by blanks
  (Latin, Cyrillic, Greek, Hebrew, Arabic, Devanagari, Hangul and so on);
- one character of a script without blanks (Chinese, Japanese, Thai, Lao, Khmer, Burmese);
- a number: digits with points, commas and slashes between them, in ASCII digits. What
  stands beside it is a token of its own: 18k is "18", "k", and 0.5ct is "0.5", "ct";
- the percent sign;
- an emoji with its skin tone and what is joined to it, or a flag.

All else parts tokens: women's is "women", "s". This file is copied into exports, so it
needs the standard library alone.
"""

import re
import unicodedata

# Letters and marks of scripts that write words without blanks between them.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e"  # Thai
    "\u0e81-\u0ece"  # Lao
    "\u1000-\u103f\u1050-\u108f"  # Burmese
    "\u1780-\u17d3"  # Khmer
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_LETTER = rf"[^\W\d_{_UNSPACED}]"
_MARK = "".join(  # vowel signs and accents that no letter holds
    re.escape(mark)
    for mark in map(chr, range(0x300, 0x10000))
    if unicodedata.category(mark) in ("Mn", "Mc") and not _IS_UNSPACED.match(mark)
)
_PICTURE = "[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_TOKEN = re.compile(
    rf"{_LETTER}+(?:[{_MARK}]+{_LETTER}*)*|\d+(?:[.,/]\d+)*|%|[{_UNSPACED}]"
    rf"|{_FLAG}|{_PICTURE}(?:[\U0001f3fb-\U0001f3ff]|\u200d{_PICTURE})*"
)
_ASCII_TOKEN = re.compile(r"[a-z]+|[0-9]+(?:[.,/][0-9]+)*|%")  # the same, faster
_FRACTION = re.compile("([\u00bc-\u00be\u2150-\u215e\u2189])")
_DIGIT = re.compile(r"[^\W\D0-9]")
# Soft hyphens, joiners and forms of emojis.
_UNSEEN = dict.fromkeys((0xAD, 0x200C, 0x2060, 0xFEFF, 0xFE0E, 0xFE0F))


def tokenize(text: str) -> list[str]:
    """The tokens of a text, in order; see above.

    Args:
      text: any.

    Returns:
      tokens, none of them empty; [] for a text without any.
    """
    if text.isascii():
        return _ASCII_TOKEN.findall(text.lower())
    text = _FRACTION.sub(r" \1", text).translate(_UNSEEN)  # 7½ is 7 and 1/2
    for form in ("NFD", "NFKC"):  # Unicode 3.13, D146: compatibility caseless match
        text = unicodedata.normalize(form, text).casefold()
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    text = _DIGIT.sub(lambda match: str(unicodedata.digit(match[0])), text)
    return _TOKEN.findall(text)


def join(left: str, right: str) -> str:
    """A pair of neighbouring tokens: "gold ring".

    Characters of scripts without blanks are joined without one.
    """
    if left.isascii() or not (_IS_UNSPACED.match(left) and _IS_UNSPACED.match(right)):
        return f"{left} {right}"
    return left + right
