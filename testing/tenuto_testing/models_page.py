"""The tables of `docs/models.md`. `python -m tenuto_testing.models_page` writes them into the page."""

from collections.abc import Iterable
from pathlib import Path

from tenuto_decoding import FAMILIES, ThinkingMarkers
from tenuto_decoding.prompt import Phase

from .family_table import KINDS, Kind

PAGE = Path(__file__).resolve().parents[2] / "docs/models.md"
_OPENED = {Phase.THINKING: "the prompt", Phase.BEFORE: "the model", Phase.ANSWER: "off by default"}


def families() -> str:
    """A row for each family."""
    rows = (
        (
            f"`{markers.family}`",
            _codes((markers.start, *markers.start_spellings)),
            _codes((markers.end, *_spellings(markers))),
            _codes((markers.answer_prefix,)),
            _codes(markers.answer_wrappers),
            _codes(markers.stops),
        )
        for markers in FAMILIES.values()
    )
    return _table(("family", "start", "end", "forced after the end", "left out of the answer", "stops"), rows)


def models() -> str:
    """A row for each kind of model."""
    rows = (
        (
            ", ".join(model.rpartition("/")[2] for model in kind.models),
            f"`{kind.family}`" if kind.family != "custom" else _codes(kind.pair),
            _opened_by(kind),
            _codes((kind.no_thinking,)),
            "" if kind.off is None else f"`{kind.off[0]}={kind.off[1]!r}`",
            _codes(kind.openers),
            kind.source.value,
            _tokenizer(kind),
        )
        for kind in KINDS
    )
    return _table(
        ("models", "family", "opened by", "without thinking", "switch", "tool openers", "from", "tokenizer"), rows
    )


def page(text: str) -> str:
    """The page with its tables as they have to be."""
    for name, table in (("families", families()), ("models", models())):
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{start}{table}{end}{after}"
    return text


def _spellings(markers: ThinkingMarkers) -> tuple[str, ...]:
    """Without those that begin with the end marker itself: they are for prompts."""
    return tuple(text for text in markers.end_spellings if not text.startswith(markers.end))


def _opened_by(kind: Kind) -> str:
    if kind.phase is Phase.BEFORE and kind.opens is not True:
        return "the budget" if kind.markers.force_start else "off by default" if kind.opens is False else "unknown"
    return _OPENED[kind.phase]


def _tokenizer(kind: Kind) -> str:
    if kind.pretrained:
        return {"qwen25": "Qwen2.5's", "deepseek": "DeepSeek's", "mistral": "Mistral's"}[kind.pretrained]
    return "bytes, markers spelled" if kind.spelled else "bytes"


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text.replace(chr(10), chr(92) + 'n')}`" for text in texts if text).replace("|", "\\|")


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |").replace("|  |", "| |") for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
