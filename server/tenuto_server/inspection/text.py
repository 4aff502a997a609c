"""The report of `tenuto markers` as text for people."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .report import MarkerReport, ShownPrompt, TokenText

_LABEL = 16


def as_text(report: MarkerReport) -> str:
    return "\n".join(_lines(report)) + "\n"


def _lines(report: MarkerReport) -> Iterator[str]:
    markers, ids = report.markers, report.ids
    yield report.model
    yield ""
    yield from _row("family", [markers.family])
    yield from _row("shown by", report.evidence)
    yield from _row("opened by", [report.opened_by])
    yield from _row("start", _spelt((markers.start, *markers.start_spellings), ids))
    yield from _row("end", _spelt((markers.end, *markers.end_spellings), ids))
    yield from _row("also ends it", _spelt(markers.also_ends, ids))
    yield from _row("stops", _spelt(markers.stops, ids))
    yield from _row("inside", _spelt(markers.inside, ids))
    yield from _row("turns begin with", map(_quoted, markers.turn))
    yield from _row("answer within", map(_quoted, markers.answer_wrappers))
    yield from _row("a wait is", map(_quoted, markers.wait_text))
    yield from _row("no thinking", [_quoted(markers.no_thinking)] if markers.no_thinking else [])
    yield from _row("switched off by", [_assignments(dict(markers.off_switch))] if markers.off_switch else [])
    yield from _prompt("prompt", report.prompt)
    if report.off_prompt is not None:
        yield from _prompt("prompt without thinking", report.off_prompt)
    yield from _forced("forced at the cap, in the middle of a line", report.forced_end)
    begins = report.prompt.reply_begins if report.prompt else "before"
    nothing = "nothing" if begins == "answer" else "nothing; the start marker is kept from appearing"
    yield from _forced("forced with a cap of 0", report.without_thinking, nothing)


def _row(label: str, values: Iterable[str]) -> Iterator[str]:
    """The values, one on each line, the first beside the label; nothing where there are none."""
    for number, value in enumerate(values):
        yield f"{'' if number else label:<{_LABEL}}  {value}"


def _spelt(texts: Iterable[str], ids: Mapping[str, Sequence[int]]) -> Iterator[str]:
    for text in (text for text in texts if text in ids):
        yield f"{_quoted(text)}  {_ids(ids[text])}"


def _prompt(title: str, prompt: ShownPrompt | None) -> Iterator[str]:
    yield ""
    if prompt is None:
        yield f"{title}: nothing writes chats"
        return
    given = f", with {_assignments(prompt.variables)}" if prompt.variables else ""
    begins = {"before": "before thinking", "thinking": "in thinking", "answer": "in the answer"}[prompt.reply_begins]
    yield f"{title}{given}; the reply begins {begins}"
    yield from _block(prompt.text)


def _forced(title: str, forced: TokenText, nothing: str = "nothing") -> Iterator[str]:
    yield ""
    if not forced.ids:
        yield f"{title}: {nothing}"
        return
    yield title
    yield from _block(forced.text)
    yield f"    {_ids(forced.ids)}"


def _block(text: str) -> Iterator[str]:
    """The text between bars; a last line end shows as an empty line."""
    for line in text.split("\n"):
        yield f"  | {line}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _ids(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))


def _assignments(variables: Mapping[str, object]) -> str:
    return ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in variables.items())
