"""The curated schema: what a run makes of it, how data differs from it, how to accept that data."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.dsl.io import fileio

import tfxray.schema
from tfxray.components.common import contract
from tfxray.components.common.contract import UNKNOWN, Task
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath

DEFAULT = Path(tfxray.schema.__file__).parent / "schema.pbtxt"
_LISTED = 8
_ANY = "any"


def read_schema(path: StrPath) -> schema_pb2.Schema:
    """Reads a schema.

    Args:
        path: The file, in protobuf's text format.

    Raises:
        UserError: The file cannot be read, or holds no schema. Names it.
    """
    return parse_schema(read_schema_text(path), path)


def read_schema_text(path: StrPath) -> str:
    """The text of a schema's file.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        with fileio.open(os.fspath(path)) as file:
            return str(file.read())
    except tf.errors.OpError as error:
        raise UserError(f"{path}: the schema cannot be read: {error.message}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is no schema in protobuf's text format: not UTF-8") from None


def parse_schema(text: str, path: StrPath) -> schema_pb2.Schema:
    """Parses a schema.

    Args:
        text: In protobuf's text format.
        path: Where it comes from, for the message.

    Raises:
        UserError: It is no schema.
    """
    try:
        return text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise UserError(f"{path}: is no schema in protobuf's text format: {error}") from None


def resolve_schema(schema: schema_pb2.Schema, task: Task) -> schema_pb2.Schema:
    """The schema of a run: a curated one with the config's classes or findings.

    The comparators stay as they are, though the config may say otherwise: they are TFDV's for
    those who compare by the schema. Were they the config's, a new threshold of drift would make a
    new schema, and Transform run again.

    Args:
        schema: The curated one; it is left as it is.
        task: What is asked.

    Returns:
        A copy.
    """
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    if not task.exclusive:
        for feature in [f for f in result.feature if f.name in (contract.LABEL, contract.TEXT)]:
            result.feature.remove(feature)
        known = {feature.name for feature in result.feature}
        tensors = result.tensor_representation_group[""].tensor_representation
        if contract.LABEL in tensors:
            del tensors[contract.LABEL]
        for feature in map(contract.finding, task.names):
            if feature not in known:
                result.feature.add().CopyFrom(_finding(feature))
            tensors[feature].varlen_sparse_tensor.column_name = feature
        return result
    for feature in result.feature:
        if feature.name == contract.LABEL:
            feature.int_domain.min, feature.int_domain.max = 0, len(task.names) - 1
        if feature.name == contract.TEXT:
            values = feature.string_domain.value
            values.extend(name for name in task.names if name not in set(values))
    return result


def _finding(name: str) -> schema_pb2.Feature:
    """1 present, 0 absent, -1 uncertain; missing where nobody said."""
    feature = schema_pb2.Feature(name=name, type=schema_pb2.INT)
    feature.presence.min_count = 1
    feature.value_count.min = feature.value_count.max = 1
    feature.int_domain.min, feature.int_domain.max = UNKNOWN, 1
    feature.not_in_environment.append("SERVING")
    return feature


@dataclasses.dataclass(frozen=True)
class Difference:
    """One aspect in which the inferred schema differs from the curated one.

    Attributes:
        feature: The feature's name; as every text here, printable.
        aspect: `feature`, `type`, `presence`, `valency`, `range` or `values`.
        curated: What the curated schema says.
        inferred: What SchemaGen inferred.
    """

    feature: str
    aspect: str
    curated: str
    inferred: str


def find_differences(curated: schema_pb2.Schema, inferred: schema_pb2.Schema) -> list[Difference]:
    """How an inferred schema differs from the curated one.

    Args:
        curated: As the run has it, with the config's classes; see `resolve_schema`.
        inferred: SchemaGen's.

    Returns:
        In the order of the curated schema's features; those that it lacks come last.
    """
    curated_features = {feature.name: feature for feature in curated.feature}
    inferred_features = {feature.name: feature for feature in inferred.feature}
    differences: list[Difference] = []
    for name in [
        *curated_features,
        *(name for name in inferred_features if name not in curated_features),
    ]:
        if name not in inferred_features:
            # StatisticsGen leaves the image itself out, so SchemaGen never infers it.
            if name != contract.IMAGE:
                differences.append(
                    Difference(printable(name), "feature", "known", "not in the data")
                )
        elif name not in curated_features:
            differences.append(Difference(printable(name), "feature", "unknown", "in the data"))
        else:
            differences += _compare_features(
                name, (curated_features[name], curated), (inferred_features[name], inferred)
            )
    return differences


_Side = tuple[schema_pb2.Feature, schema_pb2.Schema]


def _compare_features(name: str, curated: _Side, inferred: _Side) -> Iterable[Difference]:
    aspects = {
        "type": _type, "presence": _presence, "valency": _valency, "range": _range,
    }  # fmt: skip
    for aspect, of in aspects.items():
        one, other = of(curated[0]), of(inferred[0])
        if one != other:
            yield Difference(printable(name), aspect, one, other)
    curated_values, inferred_values = _values(*curated), _values(*inferred)
    if curated_values is not None and inferred_values is not None:
        if set(curated_values) != set(inferred_values):
            yield Difference(
                printable(name),
                "values",
                _only(curated_values, inferred_values),
                _only(inferred_values, curated_values),
            )
    elif curated_values != inferred_values:
        yield Difference(printable(name), "values", _all(curated_values), _all(inferred_values))


def _type(feature: schema_pb2.Feature) -> str:
    return str(schema_pb2.FeatureType.Name(feature.type))


def _presence(feature: schema_pb2.Feature) -> str:
    if feature.lifecycle_stage == schema_pb2.DEPRECATED:
        return "deprecated, not checked"
    least = feature.presence
    if least.min_fraction:
        share = least.min_fraction
        return "in every example" if share >= 1 else f"in {share:.4g} of the examples or more"
    if least.min_count == 1:
        return "in one example or more"
    return f"in {least.min_count} examples or more" if least.min_count else "optional"


def _valency(feature: schema_pb2.Feature) -> str:
    if feature.HasField("shape"):
        return f"shape {[dimension.size for dimension in feature.shape.dim]}"
    count = feature.value_count
    if not feature.HasField("value_count"):
        return _ANY
    if count.min == count.max:
        return f"{count.min} per example"
    return f"{_span(count, 'min', 'max')} per example"


def _range(feature: schema_pb2.Feature) -> str:
    kind = feature.WhichOneof("domain_info")
    if kind == "bool_domain" and feature.type == schema_pb2.INT:
        return "0 to 1"
    if kind in ("int_domain", "float_domain"):
        return _span(getattr(feature, kind), "min", "max")
    return _ANY


def _span(limits: object, low: str, high: str) -> str:
    least, most = (
        f"{getattr(limits, name):g}" if limits.HasField(name) else None  # type: ignore[attr-defined]
        for name in (low, high)
    )
    if least is not None and most is not None:
        return f"{least} to {most}"
    if least is not None:
        return f"{least} or more"
    return f"at most {most}" if most is not None else _ANY


def _values(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> list[str] | None:
    """The values of a feature's domain; None where it takes any."""
    kind = feature.WhichOneof("domain_info")
    if kind == "string_domain":
        return list(feature.string_domain.value)
    if kind == "domain":
        domains = {domain.name: list(domain.value) for domain in schema.string_domain}
        return domains.get(feature.domain)
    return None


def _only(values: list[str], other_values: list[str]) -> str:
    extra = [value for value in values if value not in set(other_values)]
    return f"also {_join_values(extra)}" if extra else ""


def _all(values: list[str] | None) -> str:
    if values is None:
        return _ANY
    # So many are names, of patients or files, and tell nothing.
    return _join_values(values) if len(values) <= _LISTED else f"{len(values)} values"


def _join_values(values: list[str]) -> str:
    some = ", ".join(printable(value) for value in values[:_LISTED])
    return f"{some}, … ({len(values)} in all)" if len(values) > _LISTED else some


def printable(text: str) -> str:
    """A name or value from data, with what a terminal might take for a command escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def relax_schema(
    curated: schema_pb2.Schema,
    statistics: Sequence[statistics_pb2.DatasetFeatureStatisticsList],
) -> schema_pb2.Schema:
    """The curated schema, changed by TFDV as little as the data needs to keep it.

    Args:
        curated: As in its file, without the config's classes.
        statistics: Of each split.

    Returns:
        A copy that names no class where the curated schema names none.
    """
    result = schema_pb2.Schema()
    result.CopyFrom(curated)
    for split in _drop_empty_splits(statistics):
        result = tfdv.update_schema(result, split)
    _forget_classes(curated, result)
    return result


def _drop_empty_splits(
    statistics: Iterable[statistics_pb2.DatasetFeatureStatisticsList],
) -> list[statistics_pb2.DatasetFeatureStatisticsList]:
    """To TFDV, an empty split lacks every column. It is too little data, not another schema."""
    return [split for split in statistics if split.datasets[0].num_examples]


def _forget_classes(curated: schema_pb2.Schema, result: schema_pb2.Schema) -> None:
    """Gives labels back the domains they had: the classes are the config's, not the schema's."""
    own = {feature.name: feature for feature in curated.feature}
    domains = {domain.name: domain for domain in curated.string_domain}
    for feature in result.feature:
        kind = feature.WhichOneof("domain_info")
        if feature.name not in (contract.LABEL, contract.TEXT) or not kind:
            continue
        if kind == "domain":
            domains_of_feature = [d for d in result.string_domain if d.name == feature.domain]
            for domain in domains_of_feature:
                if domain.name in domains:
                    domain.CopyFrom(domains[domain.name])
                else:
                    result.string_domain.remove(domain)
        feature.ClearField(kind)
        before = own.get(feature.name, schema_pb2.Feature())
        kind_before = before.WhichOneof("domain_info")
        if kind_before:
            only = schema_pb2.Feature()
            only.CopyFrom(before)
            for descriptor, _ in before.ListFields():
                if descriptor.name != kind_before:
                    only.ClearField(descriptor.name)
            feature.MergeFrom(only)


def find_anomalies(
    schema: schema_pb2.Schema,
    statistics: Sequence[statistics_pb2.DatasetFeatureStatisticsList],
) -> dict[str, str]:
    """The anomalies of the data against a schema.

    Args:
        schema: A run's; see `resolve_schema`.
        statistics: Of each split.

    Returns:
        By feature, TFDV's description in the first split that has one.
    """
    descriptions: dict[str, str] = {}
    for split in _drop_empty_splits(statistics):
        for name, info in tfdv.validate_statistics(split, schema).anomaly_info.items():
            descriptions.setdefault(printable(name), printable(info.description))
    return descriptions
