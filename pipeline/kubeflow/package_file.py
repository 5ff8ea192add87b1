"""A compiled pipeline, as Kubeflow Pipelines takes it: what it is called, takes and holds."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.pipeline.config import yaml_text

# By the names of the pipeline spec's parameter types; STRING is taken as it is written.
_TYPES: dict[str, tuple[type, ...]] = {
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}
# The server's own limit.
_MOST_BYTES = 32 << 20


@dataclass(frozen=True)
class Package:
    """A pipeline spec in a file.

    Attributes:
        path: The file.
        name: The pipeline's.
        digest: SHA-256 of the file, in hexadecimal.
        parameters: Their types, by name, as the pipeline spec has it: `STRING` and the like.
        required: Those of them without a default.
        tasks: Names of those that run a container, however deep they lie.
    """

    path: Path
    name: str
    digest: str
    parameters: Mapping[str, str]
    required: frozenset[str]
    tasks: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> "Package":
        """Reads it.

        Args:
            path: What kfp's compiler wrote, in YAML.

        Raises:
            UserError: It cannot be read, or is something else.
        """
        if path.suffix not in (".yaml", ".yml"):
            raise UserError(f"{path}: a package ends in .yaml or .yml (--package)")
        if not path.is_file():
            raise UserError(f"{path}: no such file (--package)")
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise UserError(f"{path}: is larger than 32 MB, more than the server takes")
            content = path.read_bytes()
            first = yaml_text.parse_yaml(content, str(path), _MOST_BYTES, _MOST_BYTES, further=True)
            spec = _spec(first)
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror} (--package)") from None
        if spec is None:
            raise UserError(
                f"{path}: is no package of Kubeflow Pipelines 2; tfxray compile writes one"
            )
        inputs, kinds = spec.root.input_definitions.parameters, _kinds()
        dags = [spec.root.dag, *(c.dag for c in spec.components.values())]
        return cls(
            path,
            spec.pipeline_info.name,
            hashlib.sha256(content).hexdigest(),
            {k: kinds.Name(v.parameter_type) for k, v in inputs.items()},
            frozenset(
                k for k, v in inputs.items() if not (v.HasField("default_value") or v.is_optional)
            ),
            frozenset(
                name
                for dag in dags
                for name, task in dag.tasks.items()
                if spec.components[task.component_ref.name].executor_label
            ),
        )

    def arguments(self, values: Mapping[str, str]) -> dict[str, Any]:
        """The values of parameters, in their types.

        Args:
            values: As written on the command line.

        Raises:
            UserError: The package has no such parameter, the value is not of its type, or one
                without a default is missing.
        """
        unknown = sorted(set(values) - set(self.parameters))
        if unknown:
            has = ", ".join(sorted(self.parameters)) or "none"
            raise UserError(
                f"{', '.join(unknown)}: no parameter of {self.path.name}"
                f"{did_you_mean(unknown, self.parameters)}; it has: {has}"
            )
        missing = sorted(self.required - set(values))
        if missing:
            raise UserError(f"{', '.join(missing)}: {self.path.name} has no default; give --param")
        return {name: self._value(name, text) for name, text in values.items()}

    def _value(self, name: str, text: str) -> Any:
        kind = self.parameters[name]
        if kind not in _TYPES:
            return text
        try:
            value = yaml_text.parse_yaml(text, name)
        except UserError:
            value = None
        # Python takes True for a number.
        if not isinstance(value, _TYPES[kind]) or (kind != "BOOLEAN" and isinstance(value, bool)):
            raise UserError(f"--param {name}={text}: must be of the type {kind}, in YAML")
        return value


def _spec(document: Any) -> Any:
    """The document as protobuf, if it is a pipeline spec."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        # What a newer compiler adds is the server's affair.
        spec = json_format.ParseDict(
            document, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=True
        )
    except (json_format.ParseError, TypeError, AttributeError):
        return None
    return spec if spec.pipeline_info.name and spec.root.dag.tasks else None


def _kinds() -> Any:
    from kfp.pipeline_spec import pipeline_spec_pb2

    return pipeline_spec_pb2.ParameterType.ParameterTypeEnum
