"""Short chat templates of our own that write turns, tools and the beginning of a reply as models' templates do."""

import json
import re
from dataclasses import dataclass
from typing import Literal

_TOKEN = re.compile(r"<[^<>\s]+>|\[[|A-Z_/][^\[\]\s]*\]|◁/?think▷|\]~b\]|\[e~\[|\]<\]minimax\[>\[")

#: What a template does with the thinking of earlier replies: nothing, removes it, or writes that of the last reply,
#: with the end marker on a line of its own or directly after the text.
History = Literal["", "removed", "line", "inline"]


def tokens_in(*texts: str) -> tuple[str, ...]:
    """The parts that are tokens of a vocabulary: what stands in angle or square brackets."""
    return tuple(dict.fromkeys(token for text in texts for token in _TOKEN.findall(text)))


def written(text: str) -> str:
    """Jinja that writes a text as it is: the template itself loses line ends after blocks."""
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}" if text else ""


def choice(condition: str, then: str, otherwise: str = "") -> str:
    """Jinja that writes one of two texts."""
    return f"{{% if {condition} %}}{written(then)}{{% else %}}{written(otherwise)}{{% endif %}}"


def unless(variable: str, off: str, default: str = "", value: str = "false") -> str:
    """Jinja that writes `off` where the variable has the value, which is not its default."""
    return choice(f"{variable} is defined and {variable} == {value}", off, default)


def only_if(variable: str, then: str, default: str = "", value: str = "true") -> str:
    """Jinja that writes `then` where the variable has the value."""
    return choice(f"{variable} is defined and {variable} == {value}", then, default)


@dataclass(frozen=True, slots=True)
class Layout:
    """How turns are written.

    Attributes:
        before, after: a message; `{}` is its role.
        roles: names of roles where they differ from the usual ones.
        header: of a reply; None for what stands before a message of the assistant.
        first: what every prompt begins with.
    """

    before: str
    after: str
    roles: tuple[tuple[str, str], ...] = ()
    header: str | None = None
    first: str = ""

    def around(self, role: str) -> tuple[str, str]:
        named = dict(self.roles).get(role, role)
        return self.before.replace("{}", named), self.after.replace("{}", named)

    @property
    def reply_header(self) -> str:
        return self.around("assistant")[0] if self.header is None else self.header

    @property
    def tokens(self) -> tuple[str, ...]:
        around = [text for role in ("system", "user", "assistant", "tool") for text in self.around(role)]
        return tokens_in(self.first, *around, self.reply_header)

    def template(self, begin: str, *, end: str, start: str, history: History, head: str, tools: str) -> str:
        """The Jinja text.

        Args:
            begin: Jinja for what follows the reply's header.
            head: Jinja at the beginning of the prompt.
            tools: text that describes how to call the tools.
        """
        turns = {
            role: (written(before), written(after))
            for role, (before, after) in ((role, self.around(role)) for role in ("system", "user", "assistant", "tool"))
        }
        content = f"{{{{ m.content.split({json.dumps(end)})[-1] }}}}" if history else "{{ m.content }}"
        if history in ("line", "inline"):
            line = "\n" if history == "line" else ""
            thought = f"{written(start + line)}{{{{ m.reasoning_content }}}}{written(line + end + line * 2)}"
            content = f"{{% if m.reasoning_content and loop.last %}}{thought}{{% endif %}}{content}"
        contents = {"assistant": content}
        branches = "".join(
            f"{{% {'if' if role == 'system' else 'elif'} m.role == '{role}' %}}{before}"
            f"{contents.get(role, '{{ m.content }}')}{after}"
            for role, (before, after) in turns.items()
        )
        offered = f"{turns['system'][0]}{written(tools)}{turns['system'][1]}"
        return (
            f"{written(self.first)}{head}{{% if tools %}}{offered}{{% endif %}}"
            f"{{% for m in messages %}}{branches}{{% endif %}}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{written(self.reply_header)}{begin}{{% endif %}}"
        )


CHATML = Layout("<|im_start|>{}\n", "<|im_end|>\n")
DEEPSEEK = Layout(
    "<｜{}｜>", "", (("system", "System"), ("user", "User"), ("assistant", "Assistant"), ("tool", "User")),
    first="<｜begin▁of▁sentence｜>",
)  # fmt: skip
GLM = Layout("<|{}|>\n", "", (("tool", "observation"),), header="<|assistant|>", first="[gMASK]<sop>")
KIMI = Layout("<|im_{}|>{}<|im_middle|>", "<|im_end|>", (("tool", "system"),))
LLAMA = Layout("<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>", first="<|begin_of_text|>")
MINIMAX = Layout("]~b]{}\n", "[e~[\n", (("assistant", "ai"),))
MINIMAX_M1 = Layout("<beginning_of_sentence>{}\n", "<end_of_sentence>\n", (("assistant", "ai name=MiniMax AI"),))
GRANITE = Layout("<|start_of_role|>{}<|end_of_role|>", "<|end_of_text|>\n")
GEMMA = Layout("<|turn>{}\n", "<turn|>\n", (("assistant", "model"), ("tool", "user")), first="<bos>")
SEED = Layout("<seed:bos>{}\n", "<seed:eos>")
MISTRAL = Layout("[{}]", "[/{}]", (("system", "SYSTEM_PROMPT"), ("user", "INST"), ("tool", "TOOL_RESULTS")), header="")
COHERE = Layout(
    "<|START_OF_TURN_TOKEN|><|{}_TOKEN|>", "<|END_OF_TURN_TOKEN|>",
    (("system", "SYSTEM"), ("user", "USER"), ("assistant", "CHATBOT"), ("tool", "SYSTEM")),
)  # fmt: skip
HARMONY = Layout("<|start|>{}<|message|>", "<|end|>", header="<|start|>assistant")
KIMI_K3 = Layout('<|open|>message role="{}"<|sep|>', "<|close|>message<|sep|><|end_of_msg|>")
EXAONE = Layout("[|{}|]", "[|endofturn|]\n")
REKA = Layout("{}: ", " <sep> ", (("user", "human"), ("tool", "human")))
APRIEL = Layout("<|{}|>\n", "\n<|end|>\n", (("tool", "tool_result"),))
APRIEL_16 = Layout("<|begin_{}|>\n", "\n", (("tool", "tool_result"),))
APERTUS = Layout("<|{}_start|>", "<|{}_end|>", (("tool", "user"),))
SOLAR = Layout("<|begin|>{}<|content|>", "<|end|>\n", header="<|begin|>assistant")
INKLING = Layout("<|message_{}|><|content_text|>", "<|end_message|>", (("assistant", "model"),), "<|message_model|>")
MUSE = Layout("<|start|>{}<|message|>", "<|eot|>", header="<|start|>assistant")
PLAMO = Layout("<|plamo:{}:plamo|>", "<|plamo:tag|>")
POOLSIDE = Layout("<{}>\n", "</{}>\n")
HUNYUAN = Layout("<|{}|>", "<|extra_0|>", header="")
HY = Layout("<｜hy_{}｜>", "", (("user", "User"), ("assistant", "Assistant"), ("tool", "User")))
NEMOTRON_V2 = Layout(
    "<SPECIAL_11>{}\n", "\n", (("system", "System"), ("user", "User"), ("assistant", "Assistant"), ("tool", "User"))
)
GIGACHAT = Layout("{}<|role_sep|>\n", "<|message_sep|>\n")
STEP_3 = Layout("<|BOT|>{}\n", "<|EOT|>")
PHI_4 = Layout("<|im_start|>{}<|im_sep|>", "<|im_end|>")
PHI_4_MINI = Layout("<|{}|>", "<|end|>", (("tool", "user"),))
#: Turns in ordinary text only.
PLAIN = Layout("{}: ", "\n\n", (("user", "User"), ("assistant", "Assistant"), ("system", "System"), ("tool", "Tool")))
ERNIE = Layout(
    "{}: ", "\n", (("user", "User"), ("assistant", "Assistant"), ("system", "System"), ("tool", "Tool")),
    first="<|begin_of_sentence|>",
)  # fmt: skip
