"""Where the two stacks of `setup.sh` differ so that no code is right on both.

Code that is right on both stands where it is used: the room `evaluator` takes TFMA's messages from
its `proto`, and `setup.py` names dill.
"""

from typing import Any


def in_process() -> list[str]:
    """Options that keep Beam in the process that starts a job, as DirectRunner always did.

    From 2.68 on DirectRunner looks for another runner first, Prism, a program that it downloads.
    Without it, DirectRunner falls back to FnApiRunner, which these options name.
    """
    from apache_beam import version

    if tuple(int(part) for part in version.__version__.split(".")[:2]) < (2, 68):
        return []
    return ["--runner=FnApiRunner"]


class KfpService:
    """A service of kfp's generated client, its methods under the names that they had before 2.6.

    From there on the service's name stands before each: `run_service_create_run`. What a method
    takes first is called otherwise, too: give it by its place.
    """

    def __init__(self, service: Any):
        self._service = service

    def __getattr__(self, name: str) -> Any:
        methods = [method for method in dir(self._service) if method.endswith(f"_service_{name}")]
        return getattr(self._service, *methods or [name])
