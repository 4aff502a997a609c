#!/usr/bin/env bash
# Set a budget with curl, and print the answer and the report.
set -euo pipefail

curl --silent --show-error --fail http://127.0.0.1:8000/v1/chat/completions \
    --header 'Content-Type: application/json' \
    --data '{
        "messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"}],
        "max_thinking_tokens": 200,
        "num_waits": 2,
        "temperature": 0
    }' |
    python3 -c 'import json, sys; c = json.load(sys.stdin)["choices"][0]; print(c["message"]["content"], c["thinking"], sep="\n")'
