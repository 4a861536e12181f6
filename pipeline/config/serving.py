"""The config's `serve` section: what `headrace serve` needs besides a provider and its limits.

As in `schema`, the annotations are read at run time, so they must stay real types.
"""

from collections.abc import Sequence
from typing import Annotated

from pipeline.config.rules import at_least, environment_name, not_empty
from pipeline.config.sections import Section


class ServeConfig(Section, frozen=True, kw_only=True):
    """The server.

    data: the folder of files and batches; None is headrace-data beside the config. api_key_env: the environment variable with the
    key that clients must show; None asks for none, and then only loopback is listened on. hosts: names besides the address itself under
    which clients may call, such as that of a proxy in front. expire_batches: a batch ends at its `expires_at`. max_upload_bytes: of
    a file; None is what the disk holds.
    """

    data: Annotated[str | None, not_empty] = None
    api_key_env: Annotated[str | None, environment_name] = None
    hosts: Sequence[str] = ()
    expire_batches: bool = False
    max_upload_bytes: Annotated[int | None, at_least(1)] = None
