"""Set a thinking budget with the OpenAI SDK: its fields go into `extra_body`."""

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
completion = client.chat.completions.create(
    model="s1-tiny",
    messages=[{"role": "user", "content": "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"}],
    temperature=0,
    extra_body={"max_thinking_tokens": 200, "num_waits": 2},
)
choice = completion.choices[0]
print(choice.message.to_dict()["reasoning"])
print(choice.message.content)
print(choice.to_dict()["thinking"])  # the report: what the server enforced
