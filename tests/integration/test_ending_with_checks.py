"""What a user's code has left open is written at the end of the process, as it is in any Python program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CHECK = """
log = open({log!r}, "w")  # which nobody closes

def check(answer, row):
    log.write("looked\\n")
    return True
"""
CONFIG = """
source: {path: rows.jsonl}
request: {url: /v1/chat/completions, body: {model: m, messages: [{role: user, content: "{prompt}"}]}}
provider: {simulate: {}}
answers: {expect: {check: "check.py:check"}}
sink: {path: out.jsonl}
"""


def test_what_a_check_has_written_to_a_file_that_it_never_closes_is_there_after_the_run(tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(CHECK.format(log=str(tmp_path / "log.txt")))
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n')
    (tmp_path / "config.yaml").write_text(CONFIG)

    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", str(tmp_path / "config.yaml"), "--progress", "none"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log.txt").read_text() == "looked\n"
