"""Collects the pages of the site in one folder: the documentation, and what it links to outside its own folder.

The README is the first page; examples, configs and the files beside the README become pages too, and links between them are made to
fit. Run as a program: `python docs/site/pages.py TARGET`.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BESIDE = (
    "SECURITY.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.ja.md",
    "benchmarks/results/README.md",
    "benchmarks/results/2026-11-26.md",
    "benchmarks/results/2026-11-26-idle.md",
    "benchmarks/results/cluster.md",
)
FOLDERS = {"examples": ".py", "configs": ".yaml"}
LANGUAGES = {".py": "python", ".yaml": "yaml"}

_link = re.compile(r"(\]\()([^)#:\s]+)(#[^)]*)?\)")

# The order of the side bar. Every page is in it; the test of the site fails on one that is not.
CONTENTS = """
```{toctree}
:hidden:
:caption: Start
Tutorial <tutorial>
How to <how-to/README>
```

```{toctree}
:hidden:
:caption: Reference
:glob:
reference/*
```

```{toctree}
:hidden:
:caption: How it is built
What we promise <promises>
Architecture <architecture>
Decisions <decisions/README>
Examples <project/examples/index>
Configs <project/configs/index>
Benchmarks <project/benchmarks/results/README>
Benchmarks of 26 November <project/benchmarks/results/2026-11-26>
Benchmarks of 26 November, idle <project/benchmarks/results/2026-11-26-idle>
Workers on Ray <project/benchmarks/results/cluster>
Releasing <releasing>
Mutation score <mutation-score>
Security <project/SECURITY>
Contributing <project/CONTRIBUTING>
Changelog <project/CHANGELOG>
日本語 <project/README.ja>
チュートリアル <tutorial.ja>
```
"""
BELOW = "\n```{{toctree}}\n:hidden:\n:glob:\n{}\n```\n"


def page_of(path: str) -> str | None:
    """The page that stands for a file or folder of the repository, None where there is none. path: from the root."""
    if path == "README.md":
        return "index.md"
    if path in BESIDE:
        return f"project/{path}"
    if path == "LICENSE":
        return "project/LICENSE.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    folder = path.split("/", maxsplit=1)[0]
    if folder in FOLDERS:
        return f"project/{folder}/index.md" if path.rstrip("/") == folder else f"project/{path}.md"
    return f"project/{path}" if path.endswith(".svg") else None


def relinked(markdown: str, path: str, page: str) -> str:
    """The Markdown of a file, as the page that stands for it: links lead to pages. path: of the file, from the root."""

    def replace(match: re.Match[str]) -> str:
        found = page_of(posixpath.normpath(posixpath.join(posixpath.dirname(path), match[2])))
        if found is None:
            return match[0]
        return f"{match[1]}{posixpath.relpath(found, posixpath.dirname(page) or '.')}{match[3] or ''})"

    return _link.sub(replace, markdown)


def pages() -> dict[str, str]:
    """Every page of the site by its name."""
    made = {}
    documents = (ROOT / "docs").rglob("*.md")
    for path in [ROOT / "README.md", *(ROOT / name for name in BESIDE), *documents]:
        source = path.relative_to(ROOT).as_posix()
        name = page_of(source)
        assert name is not None
        made[name] = relinked(path.read_text(encoding="utf-8"), source, name)
    made["project/LICENSE.md"] = f"# License\n\n```text\n{(ROOT / 'LICENSE').read_text(encoding='utf-8')}```\n"
    for folder, suffix in FOLDERS.items():
        files = sorted((ROOT / folder).glob(f"*{suffix}"))
        listed = "".join(f"- [{file.name}]({file.name}.md)\n" for file in files)
        made[f"project/{folder}/index.md"] = f"# {folder.title()}\n\n{listed}" + BELOW.format("*")
        for file in files:
            text = file.read_text(encoding="utf-8")
            made[f"project/{folder}/{file.name}.md"] = f"# {folder}/{file.name}\n\n```{LANGUAGES[suffix]}\n{text}```\n"
    made["index.md"] += CONTENTS + BELOW.format("project/LICENSE")
    for folder in ("how-to", "decisions"):
        made[f"{folder}/README.md"] += BELOW.format("[!R]*")
    return made


def collect(target: Path) -> None:
    """Write the pages, the pictures and the settings into a folder, which is made anew."""
    shutil.rmtree(target, ignore_errors=True)
    for name, text in pages().items():
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for picture in (*ROOT.glob("benchmarks/results/*.svg"), *ROOT.glob("docs/**/*.png"), *ROOT.glob("docs/**/*.svg")):
        name = page_of(picture.relative_to(ROOT).as_posix()) or f"project/{picture.relative_to(ROOT).as_posix()}"
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, target / name)
    shutil.copy(Path(__file__).with_name("conf.py"), target / "conf.py")


if __name__ == "__main__":
    collect(Path(sys.argv[1]))
