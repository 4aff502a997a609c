"""Steer a running reply: after 100 pieces of thinking, make it answer at once."""

import tenuto

with tenuto.Client("http://127.0.0.1:8000") as client:
    pieces = 0
    question = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
    for event in client.stream(question, min_thinking_tokens=3500, temperature=0):
        match event:
            case tenuto.Started(id=reply_id):
                print(f"reply {reply_id}")
            case tenuto.ReasoningDelta():
                pieces += 1
                if pieces == 100:
                    print(client.answer_now(reply_id))
            case tenuto.ContentDelta(text=text):
                print(text, end="")
            case tenuto.ChoiceFinished(thinking=report):
                print(f"\n{report}")
