"""What TFX's cache knows a node's result by, besides its inputs and settings: the code behind it.

TFX's own key holds the executor's class by its name alone, and of user functions likewise: with
another version of either, it would take the results of the old one.
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
    named = [value for value in node.exec_properties.values() if _is_function(value)]
    executor = node.executor_spec.executor_class.__module__
    node.exec_properties[PROPERTY] = code_digest.digest(executor, *named)


def _is_function(value: object) -> bool:
    return isinstance(value, str) and value.startswith(f"{code_digest.OWN}.")
