"""The config's `serve` section: what `headrace serve` needs besides a provider and its limits.

As in `schema`, the annotations are read at run time, so they must stay real types.
"""

from collections.abc import Sequence

from attrs import field, frozen

from pipeline.config.rules import at_least, environment_name, must, not_empty, typed


@frozen(kw_only=True, field_transformer=typed)
class ServeConfig:
    """The server.

    data: the folder of files and batches; None is headrace-data beside the config. api_key_env: the environment variable with the
    key that clients must show; None asks for none, and then only loopback is listened on. hosts: names besides the address itself under
    which clients may call, such as that of a proxy in front. expire_batches: a batch ends at its `expires_at`. max_upload_bytes: of
    a file; None is what the disk holds.
    """

    data: str | None = field(default=None, validator=must(not_empty))
    api_key_env: str | None = field(default=None, validator=must(environment_name))
    hosts: Sequence[str] = ()
    expire_batches: bool = False
    max_upload_bytes: int | None = field(default=None, validator=must(at_least(1)))
