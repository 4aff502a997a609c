"""The text format of s1 (arXiv 2501.19393, `data/tokenization.py` of its repository), as strings.

A training text is `chat(...) + assistant_text(...)`. The delimiters are the *token* `<|im_start|>` followed by the
*ordinary* tokens `think` and `answer`: the format needs no new tokens.
"""

IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
END_OF_TEXT = "<|endoftext|>"

DEFAULT_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
USER_OPENER = f"{IM_START}user"
ASSISTANT_OPENER = f"{IM_START}assistant\n"

THINK = f"{IM_START}think"
ANSWER = f"{IM_START}answer"
CAP_SUFFIX = f"{ANSWER}\nFinal Answer:"
WAIT = "Wait"


def turn(role: str, content: str) -> str:
    """Return one complete ChatML turn with its newline."""
    return f"{IM_START}{role}\n{content}{IM_END}\n"


def prompt(question: str, system: str | None = DEFAULT_SYSTEM) -> str:
    """Return the text before the model's first token: the chat and the opener of the assistant's turn."""
    opening = "" if system is None else turn("system", system)
    return f"{opening}{turn('user', question)}{ASSISTANT_OPENER}"


def assistant_text(trace: str, answer: str) -> str:
    """Return the text that the model learns to write: thinking, answer and the end of the turn.

    "Answer: " is put before an answer without "Answer:", as in s1, because graders look for it.
    """
    answer = answer.strip()
    if "Answer:" not in answer:
        answer = f"Answer: {answer}"
    return f"{THINK}\n{trace.strip()}\n{ANSWER}\n{answer}{IM_END}\n"


def training_text(question: str, trace: str, answer: str, system: str | None = DEFAULT_SYSTEM) -> str:
    """Return the complete text of one training sample."""
    return prompt(question, system) + assistant_text(trace, answer)


def cap_suffix(thinking: str) -> str:
    """Return the text that s1 forces after `thinking` at the cap: the opener of the answer, on a new line."""
    return CAP_SUFFIX if thinking.endswith("\n") else f"\n{CAP_SUFFIX}"
