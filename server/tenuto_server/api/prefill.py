"""A reply whose beginning the client has given: it goes on from there, while thinking or in its answer."""

from dataclasses import dataclass
from typing import Any

from ..errors import InvalidRequest
from ..reasoning.parser import MarkerReasoningParser
from ..vllm_compat import Parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefill:
    """What the reply has said already.

    It is appended to a prompt that opens a new turn, in the form in which the model itself would have written it. So it
    does not depend on what the chat template does with the last turn, which many cut or close.

    Attributes:
        thinking: the text between the markers; None where the reply began without.
        answer: the text after them; None while the thinking goes on.
    """

    thinking: str | None
    answer: str | None

    def append_to(self, prompt: Any, tokenizer: Any, parser_class: type[Parser] | None, field: str) -> None:
        """Append it to a prompt that vLLM has rendered for a new turn.

        Args:
            prompt: vLLM's engine input, which is changed.
            parser_class: of the serving object.
            field: that holds the conversation, for errors.

        Raises:
            InvalidRequest: for thinking that cannot go on after this prompt.
        """
        texts = self._texts(prompt["prompt_token_ids"], tokenizer, parser_class, field)
        ids = [token for text in texts for token in tokenizer.encode(text, add_special_tokens=False)]
        prompt["prompt_token_ids"] = [*prompt["prompt_token_ids"], *ids]
        if isinstance(prompt.get("prompt"), str):
            prompt["prompt"] += "".join(texts)

    def _texts(self, ids: list[int], tokenizer: Any, parser_class: type[Parser] | None, field: str) -> tuple[str, ...]:
        parser = None if parser_class is None else parser_class(tokenizer).reasoning_parser
        if isinstance(parser, MarkerReasoningParser):
            try:
                return parser.continuation(ids, self.thinking, self.answer)
            except ValueError as error:
                raise InvalidRequest(field, f"the last turn is thinking, which cannot go on: {error}") from error
        if self.thinking is not None:
            raise InvalidRequest(
                field, "the last turn is thinking, which cannot go on: this model's thinking markers are not known"
            )
        return (self.answer or "",)
