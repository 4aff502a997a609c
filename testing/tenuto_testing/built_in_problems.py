"""Cases for the built-in model: the problems that it was trained for, with the markers of s1."""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from tenuto_decoding import FAMILIES

from .cases import Case, Family, Words
from .random_model import Ids
from .reference import Format, ReferenceBudget

FOLDER = Path(__file__).parents[2] / "server/tenuto_server/s1_tiny"
TEXTS = ("Wait", ["Hmm", "Wait"], "\nWait", "Wait, again", "")


@cache
def _tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(FOLDER)


def _ids(text: str) -> Ids:
    return tuple(_tokenizer().encode(text, add_special_tokens=False))


@cache
def built_in() -> Family:
    tokenizer, markers = _tokenizer(), FAMILIES["s1"]
    (newline,), (full_stop,) = _ids("\n"), _ids(".")
    rows = json.loads((FOLDER / "config.json").read_text())["vocab_size"]
    stops = tuple(token for text in markers.stops for token in _ids(text))
    return Family(
        name="s1-tiny",
        words=Words(
            plain=_ids("".join(map(str, range(10)))),
            newline=newline,
            full_stop=full_stop,
            turn=stops[0],
            text=tokenizer.decode,
            ids=_ids,
        ),
        markers=markers,
        form=Format(
            start=_ids(markers.start),
            end=_ids(markers.end),
            stops=stops,
            finish=stops,
            newline=(newline,),
            line_ends=frozenset((newline,)),
            prefix=_ids(markers.answer_prefix),
            opens=True,
            unknown=tuple(range(len(tokenizer), rows)),
        ),
        wait=_ids("Wait"),
    )


def draw_problems(number: int, seed: int) -> list[Case]:
    """`number` of its problems with random budgets, determined by the seed. Problems repeat in order."""
    lines = (FOLDER / "problems.jsonl").read_text().splitlines()
    prompts = [_prompt(json.loads(line)["question"]) for line in lines]
    chance = random.Random(seed)
    return [_draw(prompts[at % len(prompts)], chance) for at in range(number)]


def _prompt(question: str) -> Ids:
    chat = [{"role": "user", "content": question}]
    return _ids(_tokenizer().apply_chat_template(chat, add_generation_prompt=True, tokenize=False))


def _draw(prompt: Ids, chance: random.Random) -> Case:
    cap = chance.choice((None, 0, 1, 7, chance.randint(8, 100), chance.randint(8, 100)))
    floor = min(chance.choice((0, 0, 5, 60)), 60 if cap is None else cap)
    waits, texts = chance.choice((0, 1, 2, 4, 6)), chance.choice(TEXTS)
    fields = {
        "max_thinking_tokens": cap,
        "min_thinking_tokens": floor,
        "num_waits": waits,
        "wait_text": texts,
    }
    written = tuple(_ids(text) for text in ([texts] if isinstance(texts, str) else texts))
    budget = ReferenceBudget(cap=cap, floor=floor, waits=waits, texts=written)
    return Case(
        family=built_in(), prompt=prompt, where="before", limit=chance.randint(40, 180), fields=fields, budget=budget
    )
