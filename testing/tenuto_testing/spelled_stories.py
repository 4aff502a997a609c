"""Random texts that spell thinking markers in ordinary characters, among everything that tokens merge with these."""

from random import Random

#: Pieces of prose: words, punctuation, line ends, markup, and characters of several bytes.
WORDS = (
    *("I", " add", " 3 and", " 4", " think", "think", "thinking", " so", "The café", "1,234", "你好", " 🙂", "naïve"),
    *(
        ".",
        ",",
        "!",
        ":",
        " (",
        ")",
        '"',
        "'",
        "…",
        "**",
        "`",
        "/",
        " / ",
        ">",
        " > ",
        ">>",
        "=",
        "<",
        " <",
        "<<",
        "\\",
    ),
    *(
        "\n",
        "\n\n",
        " ",
        "  ",
        "\t",
        ".\n",
        ".\n\n",
        ">\n",
        "Here",
        "Here is",
        "Here is my",
        " my response",
        "response:",
    ),
)
#: The same with texts that begin or end like `<think>` and `</think>`.
LIKE_MARKERS = (
    "</",
    "</th",
    "</think",
    "<th",
    "<thi",
    "<think",
    "think>",
    "ink>",
    "/think>",
    "</thing>",
    "<thead>",
    "</b>",
)


def prose(chance: Random, size: int, words: tuple[str, ...] = WORDS) -> str:
    """A text of up to `size` pieces."""
    return "".join(chance.choices(words, k=chance.randint(0, size)))


def mixed(chance: Random, markers: tuple[str, ...], size: int) -> str:
    """Prose with complete markers, and with what looks like one, anywhere."""
    words = (*WORDS, *LIKE_MARKERS, *(text[: chance.randint(2, len(text))] for text in markers))
    pieces = [prose(chance, size, words)]
    for _ in range(chance.randint(0, 4)):
        pieces += [chance.choice(markers), prose(chance, size, words)]
    return "".join(pieces)
