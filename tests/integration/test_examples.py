"""The examples that need a server run as written, except for the server's URL."""

import subprocess
import sys
from pathlib import Path

import pytest

from tenuto_testing.servers import RunningServer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
OTHER_CLIENTS = str(Path(sys.prefix) / "clients/bin/python")
DEFAULT_URL = "http://127.0.0.1:8000"
ENDED_BY_MODEL = "'ended_by': 'model'"
SECONDS = 120.0

COMMANDS = {
    "chat.sh": ["bash"],
    "langchain_chat.py": [OTHER_CLIENTS],
    "openai_chat.py": [sys.executable],
    "openai_stream.py": [sys.executable],
    "anthropic_messages.py": [sys.executable],
    "tenuto_chat.py": [sys.executable],
    "tenuto_stream.py": [sys.executable],
    "tenuto_async.py": [sys.executable],
    "answer_now.py": [sys.executable],
}
OUTPUT = {
    "chat.sh": ["Answer: 35", "'waits': 2", ENDED_BY_MODEL],
    "openai_chat.py": ["Wait, there is more", "Answer: 35", "'waits': 2", ENDED_BY_MODEL],
    "openai_stream.py": ["Wait, there is more", "Answer: 35", "'waits': 2", ENDED_BY_MODEL],
    "anthropic_messages.py": ["Wait, there is more", "Answer: 35", "'waits': 2", ENDED_BY_MODEL],
    "langchain_chat.py": ["Answer: 35", "'reasoning': 103"],
    "tenuto_chat.py": ["Wait, there is more", "Answer: 35", "waits=2", "ended_by='model'"],
    "tenuto_stream.py": ["Wait, there is more", "Answer: 35", "waits=2", "ended_by='model'"],
    "tenuto_async.py": ["cap 16: 16 thinking tokens, Final Answer: 9", "cap 96: 96 thinking tokens"],
    "answer_now.py": ["applied=True, phase='thinking'", "Final Answer:", "ended_by='cap'", "steered=1"],
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_an_example_prints_what_it_promises(server: RunningServer, name: str, tmp_path: Path) -> None:
    source = (EXAMPLES / name).read_text()
    assert DEFAULT_URL in source
    program = tmp_path / name
    program.write_text(source.replace(DEFAULT_URL, server.url))
    run = subprocess.run(
        [*COMMANDS[name], str(program)], capture_output=True, text=True, timeout=SECONDS, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert [text for text in OUTPUT[name] if text not in run.stdout] == [], run.stdout
