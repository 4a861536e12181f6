"""The prompts and the provider of `article_threads.py`, through headrace: 100 rows, in order."""

from __future__ import annotations

from pathlib import Path

import pipeline
from pipeline import expected_answer

HERE = Path(__file__).parent


def main() -> None:
    """Ask the same hundred questions."""
    config = pipeline.load_config(HERE / "article.yaml")
    assert config.request is not None
    prompts = Path(config.source.path).read_text(encoding="utf-8").splitlines()

    outcomes = pipeline.run_batch(prompts, config)

    in_place = 0
    for prompt, outcome in zip(prompts, outcomes, strict=True):
        wanted = expected_answer({**config.request.body, "messages": [{"role": "user", "content": prompt}]})
        in_place += pipeline.content_of(outcome) == wanted
        if outcome.attempts > 1 or isinstance(outcome, pipeline.Failure):
            print(f"row {outcome.index}: {outcome.attempts} attempts")
    print(f"{len(outcomes)} of {len(prompts)} results; outcomes[i] answers prompts[i] in {in_place} places")


if __name__ == "__main__":
    main()
