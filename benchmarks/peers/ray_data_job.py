"""Ray Data's HTTP processor on a file of prompts: `PYTHON ray_data_job.py INPUT OUTPUT URL REQUESTS_A_SECOND ACTORS BLOCKS`.

It needs ray[data], aiohttp and pydantic, and nothing else of this project, so it runs in an environment of its own. A processor knows a
rate for each actor only, so each gets its part. A small file would be one block, which a large one is not, so it is cut into some. Results
are written as Ray Data gives them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(source: str, target: str, url: str, rate: int, actors: int, blocks: int) -> None:
    """Run the job."""
    import ray
    from ray.data.llm import HttpRequestProcessorConfig, build_processor

    ray.init(address="local", log_to_driver=False, include_dashboard=False, object_store_memory=200 << 20)
    config = HttpRequestProcessorConfig(url=url, qps=rate // actors, concurrency=actors, max_retries=5)
    processor = build_processor(
        config,
        preprocess=lambda row: {
            "custom_id": row["custom_id"],
            "payload": {"model": "m", "messages": [{"role": "user", "content": row["prompt"]}]},
        },
        postprocess=lambda row: {"custom_id": row["custom_id"], "response": json.dumps(row["http_response"])},
    )
    prompts = ray.data.read_json(source).repartition(blocks)
    with Path(target).open("w", encoding="utf-8") as output:
        output.writelines(json.dumps(row) + "\n" for row in processor(prompts).iter_rows())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))
