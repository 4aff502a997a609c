"""Use the Anthropic SDK: `budget_tokens` is a hard cap, and other budget fields go into `extra_body`."""

from anthropic import Anthropic

client = Anthropic(base_url="http://127.0.0.1:8000", api_key="none")
message = client.messages.create(
    model="s1-tiny",
    max_tokens=300,
    messages=[{"role": "user", "content": "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"}],
    thinking={"type": "enabled", "budget_tokens": 200},
    extra_body={"num_waits": 2, "temperature": 0},
)
for block in message.content:
    if block.type == "thinking":
        print(block.thinking)
    elif block.type == "text":
        print(block.text)
print(message.to_dict()["thinking_report"])
