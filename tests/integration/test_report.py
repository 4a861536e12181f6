"""`headrace report`: what it says is what the run did, and nothing that comes from the run is more than text."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.cli import main
from pipeline.inspect.report.page import ASSETS
from pipeline.inspect.report.writing import report_of_file

HOSTILE = "</script><img src=x onerror=alert(1)><!-- \u2028 {{7*7}} \"' <b>"
# Of the npm package uplot@1.6.32, whose tarball has the integrity
# sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==
PINNED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


def run_of(folder: Path, rows: list[dict[str, Any]], **simulate: object) -> Path:
    """A config whose run is finished. simulate: of the provider."""
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "{prompt}"}]}
    config = {
        "source": {"path": "in.jsonl"},
        "request": {"url": "/v1/chat/completions", "body": body},
        "provider": {"simulate": simulate},
        "prices": {"prompt_per_million": 1000, "output_per_million": 2000},
        "retry": {"base_seconds": 0.01, "stop_after": None},
        "sink": {"path": "out.jsonl"},
    }
    path = folder / "c.yaml"
    path.write_text(json.dumps(config))
    main(["run", str(path), "--progress", "none"])
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 rows: 2 are bad, 3 are refused, and two attempts are made again."""
    folder = tmp_path_factory.mktemp("report")
    rows = [{"prompt": f"row {number}"} if number not in {5, 6} else {"promt": "x"} for number in range(40)]
    script = {"10": "http_400", "11": "http_400", "12": "http_400", "20": "http_500", "21": "http_429"}
    return run_of(folder, rows, script=script)


def page_of(path: Path) -> str:
    return Path(pipeline.report(path).path).read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id=data>(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_headline_says_what_the_run_did(finished: Path) -> None:
    made = pipeline.report(finished)

    assert re.fullmatch(r"35 of 40 rows were answered in [\d.]+ s for [\d.]+; 5 failed\.", made.headline)


def test_the_page_names_each_kind_of_failure_and_the_commands_that_help(finished: Path) -> None:
    page = page_of(finished)

    assert "3 × HTTP 400" in page
    assert "2 × invalid_row" in page
    assert f"headrace run {finished} --retry-failed=invalid_row" in page
    assert f"headrace run {finished} --retry-failed<" not in page  # none of them can pass


def test_the_plots_count_what_the_summary_counts(finished: Path) -> None:
    page = data_of(page_of(finished))

    trouble = {series["label"]: sum(series["v"]) for series in page["plots"]["trouble"]["series"]}
    assert trouble == {"HTTP 400": 3, "HTTP 500": 1, "HTTP 429": 1}
    assert [row[0] for row in page["tables"]["failed"]["rows"]] == [6, 7, 11, 12, 13]
    assert len(page["tables"]["slow"]["rows"]) == 35


def test_the_cost_is_that_of_the_summary(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    main(["run", str(finished), "--json", "--progress", "none"])
    cost = json.loads(capsys.readouterr().out)["cost"]

    spent = data_of(page_of(finished))["plots"]["cost"]["series"][0]["v"][-1]

    assert spent == pytest.approx(cost, abs=1e-6)


def test_a_report_is_replaced_and_nothing_else_is(finished: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("<html>mine")

    pipeline.report(finished, tmp_path / "r.html")
    pipeline.report(finished, tmp_path / "r.html")

    with pytest.raises(pipeline.UsageError, match="is no report"):
        pipeline.report(finished, mine)
    assert mine.read_text() == "<html>mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.html", "r.html"]


def test_the_command_says_the_headline_and_where_the_file_is(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["report", str(finished), "--json", "--set", "limits.max_in_flight=7"])

    out, err = capsys.readouterr()
    assert code == 0
    assert json.loads(out)["path"] in err
    assert "--set limits.max_in_flight=7" in Path(json.loads(out)["path"]).read_text()


def test_without_a_run_there_is_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("source: {path: in.jsonl}\nprovider: {simulate: {}}\nsink: {path: out.jsonl}\n")

    assert main(["report", str(tmp_path / "c.yaml")]) == 2
    assert "no run has begun" in capsys.readouterr().err


def test_a_run_without_a_history_is_reported_by_its_results(tmp_path: Path) -> None:
    path = run_of(tmp_path, [{"prompt": "a"}])
    config = json.loads(path.read_text())
    config["journal"] = {"history": False}
    path.write_text(json.dumps(config))
    main(["run", str(path), "--fresh", "--progress", "none"])

    page = page_of(path)

    assert "1 of 1 row were answered" in page or "1 of 1 row" in page
    assert "has kept no history" in page


def test_hostile_text_is_text_and_a_key_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_KEY", "sk-planted-0123456789")
    rows = [{"custom_id": HOSTILE, "prompt": "row 1"}, {"custom_id": "b", HOSTILE: "sk-planted-0123456789"}, {"prompt": "row 2"}]
    path = run_of(tmp_path, rows, script={"1": "http_400"})
    config = json.loads(path.read_text())
    config["provider"] = {"base_url": "http://127.0.0.1:9/v1", "api_key_env": "PLANTED_KEY"}
    path.write_text(json.dumps(config) + "\n# sk-planted-0123456789 <b>\n")

    page = page_of(path)

    assert HOSTILE not in page
    assert "<img" not in page
    assert page.count("</script>") == 3
    assert "sk-planted-0123456789" not in page
    assert next(row[1] for row in data_of(page)["tables"]["failed"]["rows"]) == HOSTILE


def test_nothing_is_fetched_and_only_our_scripts_may_run(finished: Path) -> None:
    page = page_of(finished)

    assert "default-src 'none'" in page
    assert page.count("'sha256-") == 2
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)


@pytest.mark.parametrize("name", PINNED)
def test_the_library_of_the_plots_is_the_one_that_was_checked(name: str) -> None:
    assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == PINNED[name]


def test_a_running_run_and_one_that_was_cut_off_say_so(tmp_path: Path) -> None:
    path = run_of(tmp_path, [{"prompt": f"row {number}"} for number in range(5)])
    (tmp_path / "in.jsonl").write_text('{"prompt": "row"}\n' * 5)
    main(["run", str(path), "--fresh", "--limit", "3", "--progress", "none"])

    made = report_of_file(str(path))

    assert made.headline.endswith("It is not finished.")
    assert "go on with the rows that are left" in Path(made.path).read_text()
