"""Stream a reply with Tenuto's own client. A stream is a generator of typed events."""

import tenuto

with tenuto.Client("http://127.0.0.1:8000") as client:
    question = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
    for event in client.stream(question, max_thinking_tokens=200, num_waits=2, temperature=0):
        match event:
            case tenuto.ReasoningDelta(text=text) | tenuto.ContentDelta(text=text):
                print(text, end="", flush=True)
            case tenuto.ChoiceFinished(thinking=report):
                print(f"\n{report}")
