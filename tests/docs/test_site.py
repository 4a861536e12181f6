"""The documentation builds as a site without a warning, every page can be reached, and a reader's browser asks nobody for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FETCHED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^\"]*\"")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pages, built = tmp_path_factory.mktemp("pages"), tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, str(ROOT / "docs/site/pages.py"), str(pages)], check=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(pages), str(built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built


def test_the_site_has_a_page_for_every_document(site: Path) -> None:
    documents = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]

    assert len(documents) > 15
    assert [path for path in documents if not (site / path).exists()] == []
    assert "A file of prompts in" in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "project/examples/library.py.html").exists()


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    assert [(page.name, found) for page in site.rglob("*.html") for found in FETCHED.findall(page.read_text(encoding="utf-8"))] == []


def test_the_search_works_from_a_folder(site: Path) -> None:
    assert "Search.setIndex" in (site / "searchindex.js").read_text(encoding="utf-8")
