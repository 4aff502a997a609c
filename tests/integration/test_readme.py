"""The README shows the server's real output."""

import json
import re
from pathlib import Path

from tenuto_testing.servers import MODEL_FOLDER, RunningServer

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_the_curl_command_prints_the_output_shown(server: RunningServer) -> None:
    body, shown = re.findall(r"curl -s .* -d '(\{.*?\})' \|.*\n```\n\n```\n(.*?)```", README, re.DOTALL)[0]
    choice = server.chat(**json.loads(body)).json()["choices"][0]
    said = {**choice["message"], **choice["thinking"]}
    lines = [line.strip().rstrip(",") for line in shown.splitlines()]
    assert lines == [
        f"{json.dumps(name)}: {json.dumps(said[name])}" for name in re.findall(r'^ +"(\w+)":', shown, re.M)
    ]
    assert len(lines) == 5


def test_without_waits_the_model_stops_too_early_as_stated(server: RunningServer) -> None:
    body = json.loads(re.findall(r"-d '(\{.*?\})' \|", README, re.DOTALL)[0])
    answer = re.findall(r"Without `num_waits` the same question gets `(.*?)`", README)[0]
    content = server.chat(**{**body, "num_waits": None}).json()["choices"][0]["message"]["content"]
    assert content.strip() == answer


def test_the_accuracies_are_those_of_the_model_card() -> None:
    least, most = re.findall(r"accuracy goes from ([\d.]+) without waits to ([\d.]+) with four", README)[0]
    card = (MODEL_FOLDER / "README.md").read_text().partition("| waits |")[2].partition("\n\n")[0]
    measured = dict(re.findall(r"^\| +(\d) \| +([\d.]+) \|", card, re.M))
    assert (measured["0"], measured["4"]) == (least, most)
