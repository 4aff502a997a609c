"""Training examples: their text, and which tokens are trained."""

import random
import re

import pytest
from transformers import PreTrainedTokenizerFast

from tenuto_training.formats import ASSISTANT_OPENER, USER_OPENER
from tenuto_training.masking import IGNORED, completion_labels
from tenuto_training.tiny.batches import batches, collate
from tenuto_training.tiny.examples import Example, ExampleSource, total_reached

SHAPE = re.compile(
    r"(<\|im_start\|>system\n[^\n]+<\|im_end\|>\n)?"
    r"(<\|im_start\|>user\n[^\n]+<\|im_end\|>\n<\|im_start\|>assistant\nAnswer: \d+<\|im_end\|>\n)?"
    r"<\|im_start\|>user\n[^\n]+<\|im_end\|>\n<\|im_start\|>assistant\n"
    r"(<\|im_start\|>think\n(?P<thinking>[^|]*\n)?)?"
    r"<\|im_start\|>answer\n(?P<opener>Final Answer: |Answer: )(?P<total>\d+)<\|im_end\|>\n"
)


@pytest.fixture(scope="module")
def examples(tokenizer: PreTrainedTokenizerFast) -> list[Example]:
    source = ExampleSource(tokenizer, random.Random(0))
    return [source.draw() for _ in range(400)]


def trained_text(tokenizer: PreTrainedTokenizerFast, example: Example) -> str:
    """Return the text of an example, with a § for each run of tokens that are not trained."""
    marked = ["§" if label == IGNORED else tokenizer.decode([label]) for label in example.labels]
    return re.sub("§+", "§", "".join(marked))


def test_every_example_follows_the_format_and_answers_with_the_total_reached(
    tokenizer: PreTrainedTokenizerFast, examples: list[Example]
) -> None:
    openers = set()
    for example in examples:
        match = SHAPE.fullmatch(tokenizer.decode(example.ids))
        assert match, tokenizer.decode(example.ids)
        assert int(match["total"]) == total_reached(match["thinking"] or "")
        openers.add(match["opener"])
    assert openers == {"Answer: ", "Final Answer: "}


def test_the_question_is_never_trained_and_the_answer_always_is(
    tokenizer: PreTrainedTokenizerFast, examples: list[Example]
) -> None:
    for example in examples:
        text = trained_text(tokenizer, example)
        assert text.startswith("§")
        assert "user" not in text
        assert re.search(r"\d+<\|im_end\|>\n$", text)


def test_no_token_outside_the_mask_of_s1_is_trained(
    tokenizer: PreTrainedTokenizerFast, examples: list[Example]
) -> None:
    user, assistant = tokenizer.encode(USER_OPENER), tokenizer.encode(ASSISTANT_OPENER)
    for example in examples:
        allowed = completion_labels(example.ids, user, assistant)
        pairs = zip(example.labels, allowed, strict=True)
        assert all(label in (IGNORED, wanted) for label, wanted in pairs)


def test_tokens_forced_by_a_cap_are_not_trained(tokenizer: PreTrainedTokenizerFast, examples: list[Example]) -> None:
    capped = [one for one in examples if "Final Answer:" in tokenizer.decode(one.ids)]
    assert len(capped) > 50
    for example in capped:
        assert "answer" not in trained_text(tokenizer, example)
        assert "Final" not in trained_text(tokenizer, example)


def test_most_waits_are_not_trained_but_the_text_after_them_is(
    tokenizer: PreTrainedTokenizerFast, examples: list[Example]
) -> None:
    wait = tokenizer.convert_tokens_to_ids("Wait")
    labels = [label for one in examples for token, label in zip(one.ids, one.labels, strict=True) if token == wait]
    assert 0 < sum(label == wait for label in labels) < len(labels) / 2
    assert any("§, there is more on the bill.\n" in trained_text(tokenizer, example) for example in examples)


@pytest.mark.parametrize(
    ("thinking", "total"),
    [
        ("", 0),
        ("\nFirst comes tea: 0 +", 0),
        ("\nFirst comes tea: 0 + 4 = 4\nAfter tea comes jam: 4 + 8 =", 4),
        ("\nFirst comes tea: 0 + 4 = 4\nAfter tea comes jam: 4 + 8 = 1", 1),
        ("\nFirst comes tea: 0 + 4 = 4\nWait, that was the last item. The total is 4.\n", 4),
    ],
)
def test_the_total_reached_is_the_last_that_was_written(thinking: str, total: int) -> None:
    assert total_reached(thinking) == total


def test_equal_seeds_give_equal_examples(tokenizer: PreTrainedTokenizerFast, examples: list[Example]) -> None:
    again = ExampleSource(tokenizer, random.Random(0))
    assert [again.draw() for _ in range(20)] == examples[:20]
    other = ExampleSource(tokenizer, random.Random(1))
    assert [other.draw() for _ in range(20)] != examples[:20]


def test_a_batch_is_padded_on_the_right_and_padding_is_not_trained() -> None:
    batch = collate([Example([1, 2, 3], [IGNORED, 2, 3]), Example([4], [4])], pad=0)
    assert batch.ids.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert batch.labels.tolist() == [[IGNORED, 2, 3], [4, IGNORED, IGNORED]]


def test_a_batch_holds_examples_of_similar_lengths(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = random.Random(0)
    stream = batches(ExampleSource(tokenizer, rng), rng, size=4, pad=tokenizer.pad_token_id)
    first = [next(stream) for _ in range(16)]
    padded = sum(int((batch.ids == tokenizer.pad_token_id).sum()) for batch in first)
    assert padded < 0.2 * sum(batch.ids.numel() for batch in first)
