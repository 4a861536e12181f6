"""Makes pipeline/runs/price_table.json from the installed genai-prices (MIT, https://github.com/pydantic/genai-prices).

Run it at a release, in an environment of its own: `pip install -e '.[prices]' && python tools/make_price_table.py`. Taken are
models that read and write text at a price for a token, of the makers below, at the price that holds today, the dearest of a day's hours.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from pathlib import Path

from pipeline.core.pacing.prices import SUFFIX
from pipeline.runs.genai_table import names_of, price_on, source, tiers_of

MAKERS = {"openai": "", "anthropic": "claude", "google": "gemini", "mistral": "", "deepseek": "deepseek", "x-ai": "grok", "cohere": ""}
OTHER_TRADES = re.compile(
    r"image|audio|tts|realtime|live|transcribe|ocr|search|:free|robotics|vision|video|voice|whisper|embed-image|ft:|\.ft-|computer-use"
    r"|^(?:ada|babbage|curie|davinci|text-davinci|code-)|omni-|moderation|banana|instruct|extended|cyber|voxtral|16k|32k|gpt-3\.5-0"
)
TARGET = Path(__file__).parents[1] / "pipeline" / "runs" / "price_table.json"


def main() -> None:
    """Write the table and say how large it is."""
    from genai_prices.data import providers  # noqa: PLC0415  only this script needs it

    today = dt.datetime.now(dt.UTC).date()
    models: dict[str, list[list[float]]] = {}
    for provider in providers:
        for model in provider.models if provider.id in MAKERS else ():
            if not model.id.startswith(MAKERS[provider.id]) or OTHER_TRADES.search(model.id) or model.deprecated:
                continue
            tiers = tiers_of(price_on(model.prices, today))
            names = [name for name in [model.id, *names_of(model.match)] if not OTHER_TRADES.search(name)]
            if tiers:
                models.update(dict.fromkeys(names, tiers))
    models = {name: tiers for name, tiers in models.items() if not is_told_by_another(name, models)}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(models[name], separators=(',', ':'))}" for name in sorted(models))
    TARGET.write_text(f'{{"date": "{today}",\n "source": {json.dumps(source())},\n "models": {{\n{lines}\n}}}}\n')
    sys.stdout.write(f"{len(models)} names, {TARGET.stat().st_size} bytes\n")


def is_told_by_another(name: str, models: dict[str, list[list[float]]]) -> bool:
    """Whether a name is found at the same price without having a line: by its beginning, or without its date."""
    tiers = models[name]
    beginnings = [known for known in models if known.endswith("*") and known != name and name.startswith(known[:-1])]
    plain = SUFFIX.sub("", name)
    return (bool(beginnings) and models[max(beginnings, key=len)] == tiers) or (plain != name and models.get(plain) == tiers)


if __name__ == "__main__":
    main()
