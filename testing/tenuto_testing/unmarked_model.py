"""A model that does not show how it marks its thinking."""

import json
import shutil
from pathlib import Path

from .servers import MODEL_FOLDER

_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def save_unmarked(folder: Path) -> Path:
    """Write the built-in model without what shows its family: its configuration's entry, and its chat template."""
    shutil.copytree(MODEL_FOLDER, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["tenuto_thinking_family"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(_TEMPLATE)
    return folder
