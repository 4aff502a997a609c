"""Random models that do write their markers: the roles (markers, stop tokens, newline, ...) are assigned to tokens that
occur in the greedy text of a tiny random Qwen2.

The tokenizer of the small model has one character per token, so a text has as many tokens as characters.
"""

import random
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

Ids = tuple[int, ...]

ROWS = 32
#: Of those tried, the one whose greedy text has the most repetitions such as "A A B" without a loop.
SEED = 5
CONTEXT = 1024

END_OF_TURN, END_OF_TEXT, LEAD = "<|im_end|>", "<|endoftext|>", "<|lead|>"
OPEN, CLOSE, TOOL, TURN = "<|open|>", "<|close|>", "<|tool|>", "<|turn|>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The tokens that play each role.

    Attributes:
        pair, triple, twice: sequences of ordinary tokens that the model writes often: of two tokens, of three different
            ones, and of the form A A B.
        opener: another pair, of tokens that occur in none of those.
        led: tokens that often follow `special[LEAD]`.
        special: control tokens, by their text.
        newline, full_stop: ends of a line and of a sentence.
        unknown: rows of the embedding without a token in the tokenizer.
    """

    pair: Ids
    triple: Ids
    twice: Ids
    opener: Ids
    led: Ids
    special: dict[str, int]
    newline: int
    full_stop: int
    unknown: Ids

    @property
    def taken(self) -> set[int]:
        """All tokens whose text is determined by their role."""
        return {*self.special.values(), self.newline, self.full_stop, *self.unknown}


def configuration(rows: int) -> Qwen2Config:
    """Heads are 32 wide: vLLM's attention on CPU takes nothing narrower."""
    return Qwen2Config(
        vocab_size=rows,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        tie_word_embeddings=False,
        eos_token_id=None,
        bos_token_id=None,
    )


@cache
def core() -> Qwen2ForCausalLM:
    """The model with random weights from SEED. Must not be changed."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        return Qwen2ForCausalLM(configuration(ROWS)).float().eval()


@cache
def roles() -> Roles:
    """The roles, chosen by what the model writes."""
    texts = _greedy_texts(128, 100)
    ranked = [token for token, _ in Counter(token for text in texts for token in text).most_common()]
    pairs = [pair for pair, _ in Counter(_windows(texts, 2)).most_common()]
    triples = [triple for triple, _ in Counter(_windows(texts, 3)).most_common()]
    pair = next(p for p in pairs if p[0] != p[1])
    triple = next(t for t in triples if len(set(t)) == 3)
    twice = next(t for t in triples if t[0] == t[1] != t[2])
    spelt = {*pair, *triple, *twice}
    opener = next(p for p in pairs if p[0] != p[1] and not spelt & {*p})
    free = [token for token in ranked if token not in spelt | {*opener}]
    names = (LEAD, CLOSE, OPEN, END_OF_TURN, END_OF_TEXT, TOOL)
    lead, close, start, unknown, newline, end, text_end, full_stop, tool, *rest = free
    special = dict(zip(names, (lead, close, start, end, text_end, tool), strict=True)) | {TURN: rest[-1]}
    taken = {*special.values(), newline, full_stop, unknown, rest[0]}
    led = [after for (before, after) in pairs if before == lead and after not in taken]
    return Roles(
        pair=pair,
        triple=triple,
        twice=twice,
        opener=opener,
        led=tuple(led[:3]),
        special=special,
        newline=newline,
        full_stop=full_stop,
        unknown=(unknown, rest[0]),
    )


def spelling(given: Roles) -> dict[str, int]:
    """The small model's vocabulary: newline and full stop by role, letters for the other plain tokens."""
    letters = iter(string.ascii_letters)
    ordinary = [token for token in range(ROWS) if token not in given.taken]
    # "Ċ" is how byte-level tokenizers write a newline.
    return {"Ċ": given.newline, ".": given.full_stop} | {next(letters): token for token in ordinary}


def text_of(ids: Iterable[int]) -> str:
    """The small model's text for ids."""
    given = roles()
    texts = {token: text for text, token in (spelling(given) | given.special).items()} | {given.newline: "\n"}
    return "".join(texts[token] for token in ids)


def ids_of(text: str) -> Ids:
    """The small model's ids for a text without control tokens."""
    given = spelling(roles())
    return tuple(given["Ċ" if character == "\n" else character] for character in text)


def letters_of(given: Roles) -> Ids:
    """Ids of plain text in the small model."""
    return tuple(token for text, token in spelling(given).items() if text.isalpha() and text.isascii())


def save_small(folder: Path) -> Path:
    """Write the small model and its tokenizer."""
    given = roles()
    tokenizer = Qwen2Tokenizer(
        vocab=spelling(given) | given.special,
        merges=[],
        extra_special_tokens=[text for text in given.special if text not in (END_OF_TURN, END_OF_TEXT)],
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        unk_token=None,
    )
    tokenizer.chat_template = "{{ messages }}"
    return save(folder, core(), tokenizer, given.special[END_OF_TURN])


def save(folder: Path, model: Qwen2ForCausalLM, tokenizer: Any, end: int) -> Path:
    """Write a model that ends its reply with `end`, and its tokenizer."""
    model = deepcopy(model)
    tokenizer.save_pretrained(folder)
    model.config.eos_token_id = model.generation_config.eos_token_id = end
    model.save_pretrained(folder)
    return folder


def widened(rows: int, places: Sequence[int]) -> Qwen2ForCausalLM:
    """The same model with more rows: those of the small one are at `places`, and weigh more than the others.

    At temperature 0 it writes what the small one writes; when it is sampled, every row is drawn at times.
    """
    small = core()
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        wide = Qwen2ForCausalLM(configuration(rows)).float().eval()
    state = wide.state_dict() | {name: value for name, value in small.state_dict().items() if name not in _BY_ROW}
    for name in _BY_ROW:
        state[name] = state[name].index_copy(0, torch.tensor(places), small.state_dict()[name])
    state["lm_head.weight"].index_copy_(0, torch.tensor(places), WEIGHT * small.state_dict()["lm_head.weight"])
    wide.load_state_dict(state)
    return wide


_BY_ROW = ("model.embed_tokens.weight", "lm_head.weight")
WEIGHT = 6.0


def _greedy_texts(number: int, length: int) -> list[list[int]]:
    chance = random.Random(0)
    prompts = torch.tensor([[chance.randrange(ROWS) for _ in range(6)] for _ in range(number)])
    written = core().generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=length,
        do_sample=False,
        pad_token_id=0,
    )
    texts: list[list[int]] = written[:, prompts.shape[1] :].tolist()
    return texts


def _windows(texts: Sequence[list[int]], size: int) -> Iterator[Ids]:
    for text in texts:
        yield from zip(*(islice(text, start, None) for start in range(size)), strict=False)
