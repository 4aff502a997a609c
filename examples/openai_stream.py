"""Stream thinking and answer with the OpenAI SDK. The report comes with the last chunk of the choice."""

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
stream = client.chat.completions.create(
    model="s1-tiny",
    messages=[{"role": "user", "content": "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"}],
    stream=True,
    temperature=0,
    extra_body={"max_thinking_tokens": 200, "num_waits": 2},
)
for chunk in stream:
    choice = chunk.choices[0]
    text = getattr(choice.delta, "reasoning", None) or choice.delta.content or ""
    print(text, end="", flush=True)
    if choice.finish_reason:
        print("\n", choice.to_dict()["thinking"], sep="")
