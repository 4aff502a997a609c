"""The logprobs of a response: those of the tokens of the answer's text, in every event and item that has the text."""

from collections import deque
from collections.abc import Callable, Container, Sequence
from typing import Any

from openai.types.responses import response_text_delta_event
from openai.types.responses.response_output_text import Logprob

from ..reasoning.answer_wrappers import AnswerWrappers
from ..reasoning.content_tokens import ContentTokens


class ResponseLogprobs:
    """Follows one response. A token comes with the first text that it is a part of.

    vLLM gives each piece of text the logprobs of the tokens that came at the same time. But the text may come later
    than its tokens, and of a whole response all tokens came at once.

    Args:
        tokens: finds the tokens that are content.
        hidden: ids that are not in the text: the special tokens, unless the request keeps them.
        wrappers: texts around an answer, which are not in the text either.
        describe: makes OpenAI's logprobs of ids and the engine's logprobs.
    """

    def __init__(
        self,
        tokens: ContentTokens,
        hidden: Container[int],
        wrappers: AnswerWrappers,
        describe: Callable[[Sequence[int], Sequence[Any]], list[Logprob]],
    ) -> None:
        self._tokens = tokens
        self._hidden = hidden
        self._wrappers = wrappers
        self._describe = describe
        self._seen = 0  # tokens of the reply
        self._waiting: deque[tuple[int, int, Any]] = deque()  # where a token's text begins, its id, its logprobs
        self._texts = ""  # of the tokens, until the first text is shown
        self._written = self._shown = 0  # characters of the tokens, and of the text
        self._of_item: list[Logprob] = []

    def complete(self, event: Any, ids: Sequence[int], logprobs: Sequence[Any]) -> None:
        """Set the logprobs of an event.

        Args:
            ids, logprobs: of all tokens that the engine has returned so far.
        """
        if event.type == "response.output_text.delta":
            self._follow(ids, logprobs)
            new = self._take(len(event.delta))
            self._of_item += new
            event.logprobs = [_in_event(logprob) for logprob in new]
        elif event.type == "response.output_text.done":
            event.logprobs = [_in_event(logprob) for logprob in self._of_item]
        elif event.type == "response.content_part.done" and event.part.type == "output_text":
            event.part.logprobs = list(self._of_item)
        elif event.type == "response.output_item.done" and event.item.type == "message":
            for part in event.item.content:
                part.logprobs = list(self._of_item)
            self._of_item = []

    def _follow(self, ids: Sequence[int], logprobs: Sequence[Any]) -> None:
        for position, token in self._tokens.take(ids[self._seen :]):
            if token in self._hidden:
                continue
            self._waiting.append((self._written, token, logprobs[position]))
            text = logprobs[position][token].decoded_token or ""
            self._written += len(text)
            self._texts += "" if self._shown else text
        self._seen = len(ids)

    def _take(self, size: int) -> list[Logprob]:
        """The logprobs of the tokens that begin in the next `size` characters of the text."""
        if not self._shown and (wrapper := self._wrappers.opening_size(self._texts)):
            self._skip(wrapper)
        self._shown += size
        found = []
        while self._waiting and self._waiting[0][0] < self._shown:
            found.append(self._waiting.popleft())
        return self._describe([token for _, token, _ in found], [logprobs for _, _, logprobs in found])

    def _skip(self, size: int) -> None:
        """Leave out the tokens of the first `size` characters, and keep one that the answer's text begins in."""
        self._shown = size
        while len(self._waiting) > 1 and self._waiting[1][0] <= size:
            self._waiting.popleft()


def _in_event(logprob: Logprob) -> response_text_delta_event.Logprob:
    """The same in the type that streams have."""
    return response_text_delta_event.Logprob.model_validate(logprob.model_dump())
