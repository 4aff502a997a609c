"""Use Tenuto's own client."""

import tenuto

with tenuto.Client("http://127.0.0.1:8000") as client:
    question = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
    reply = client.chat(question, max_thinking_tokens=200, num_waits=2, temperature=0)
    print(reply.reasoning)
    print(reply.content)
    print(reply.thinking)
