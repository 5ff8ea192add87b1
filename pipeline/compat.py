"""Where the two stacks of `setup.sh` differ so that no code is right on both.

What is right on both stands where it is used: `beam_options.arguments` names FnApiRunner,
`evaluator` and `judge` take TFMA's messages from its `proto`, and `setup.py` names dill.
"""

from typing import Any


class KfpService:
    """A service of kfp's generated client, its methods under the names that they had before 2.6.

    From there on the service's name stands before each: `run_service_create_run`. What a method
    takes first is called otherwise, too: give it by its place.
    """

    def __init__(self, service: Any):
        self._service = service

    def __getattr__(self, name: str) -> Any:
        known = [found for found in dir(self._service) if found.endswith(f"_service_{name}")]
        return getattr(self._service, *known or [name])
