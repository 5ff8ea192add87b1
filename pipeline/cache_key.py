"""Adds the code behind a node to its key in TFX's cache.

TFX's own key holds inputs and settings, but only the names of the executor's class and of user
functions. When their code changes, it would still take the old results.
"""

from tfx.dsl.components.base.base_component import BaseComponent

from tfxray.components.common import code_digest

PROPERTY = "code"  # of a node's execution, in the metadata store too


def hold_code(node: BaseComponent) -> None:
    """Makes the code that computes a node's outputs a part of its cache key.

    That is the executor's module and the user functions that the node names, all that these
    import, and the versions of the libraries; see `code_digest.digest`. The executor gets the
    digest as one more execution property, and has no use for it.

    Args:
        node: A node with an executor, as it is wired; changed.
    """
    functions = [value for value in node.exec_properties.values() if _is_function(value)]
    executor = node.executor_spec.executor_class.__module__
    node.exec_properties[PROPERTY] = code_digest.digest(executor, *functions)


def _is_function(value: object) -> bool:
    return isinstance(value, str) and value.startswith(f"{code_digest.OWN}.")
