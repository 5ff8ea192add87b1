"""The external test sets of a run: found and ingested as its data are, each by rules of its own."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.layouts import public
from tfxray.components.listing import file_list
from tfxray.pipeline import data_folder, inputs, prepare
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.data import Split
from tfxray.pipeline.records import External

Say = Callable[..., None]
# Starts an ingest, or sees that it was done: takes the set's name, its data and its config.
StartIngest = Callable[[str, inputs.Source, Config], inputs.Ingest]


def config_of(config: Config, name: str) -> Config:
    """The config by which an external test set is ingested: all of it, whatever split it is in.

    Args:
        config: The experiment.
        name: The set's.
    """
    external = config.evaluate.external[name]
    key = external.ingest.pseudonym_key or config.ingest.pseudonym_key
    own = {"data": external.data, "dataset": external.dataset, "pseudonym_key": key}
    asked = {"classes": config.classes, "findings": external.findings or config.findings}
    # The rest is the run's gate and training, of which an ingest knows nothing.
    return Config(
        name=config.name,
        **asked,
        ingest=external.ingest.model_copy(update=own),
        split=Split(ignore_given=True),
        validation=config.validation,
        beam=config.beam,
    )


def find_sets(config: Config, out: StrPath, say: Say) -> dict[str, inputs.Source]:
    """Finds all of a run's external test sets, and sees that the labels of images are told.

    Args:
        config: The experiment.
        out: The folder of all runs.
        say: Takes a line.

    Raises:
        UserError: One is not there, or holds no images with labels; names it.
    """
    sources = {}
    for name in config.evaluate.external:
        with name_set(name):
            own, named = config_of(config, name), functools.partial(_say_named, say, name)
            source = sources[name] = inputs.find_data(own, None, out, named, key_of(name))
            if source.kind == "images":
                _require_labels(source, own)
    return sources


def _require_labels(source: inputs.Source, config: Config) -> None:
    """Finds a set's labels as its ingest will, which begins after that of the run's own data."""
    folder = data_folder.Folder(source.folder, source.dataset)
    rules = data_folder.label_rules(config, folder, _say_nothing)
    public.label_images(source.folder, rules)


def _say_named(say: Say, name: str, line: str) -> None:
    say(f"external test set {name}: {line}")


def list_folders(sources: Mapping[str, inputs.Source]) -> dict[str, str]:
    """The folders of external test sets, by the keys of the config that name them.

    Args:
        sources: See `find_sets`.
    """
    return {key_of(name): source.folder for name, source in sources.items()}


def key_of(name: str) -> str:
    """The key of the config that names a set's folder.

    Args:
        name: The set's.
    """
    return f"evaluate.external.{name}.data"


def prepare_sets(
    config: Config,
    sources: Mapping[str, inputs.Source],
    out: str,
    say: Say,
    start_ingest: StartIngest,
) -> dict[str, External]:
    """Ingests external test sets, one after the other, or takes their records as they are.

    Args:
        config: The experiment.
        sources: See `find_sets`.
        out: The folder of all runs.
        say: Takes a line, and a `style` or None.
        start_ingest: Starts an ingest.

    Raises:
        UserError: One cannot be used; names it.
    """
    sets = {}
    for name, source in sources.items():
        with name_set(name):
            data = _prepare_set(name, source, config_of(config, name), out, say, start_ingest)
        patients = config.evaluate.external[name].patients
        sets[name] = External(data.records, patients, data.rejected, _files(data))
    return sets


def _prepare_set(
    name: str,
    source: inputs.Source,
    config: Config,
    out: str,
    say: Say,
    start_ingest: StartIngest,
) -> prepare.PreparedData:
    say(f"  external test set {name}: {source.folder}")
    if source.kind == "records":
        return prepare.prepare_records(
            source.folder, config, say, out, lambda: start_ingest(name, source, config), whole=True
        )
    ingest = start_ingest(name, source, config)
    try:
        return prepare.finish_ingest(ingest, say, whole=True)
    finally:
        ingest.stop()


def use_records(config: Config) -> dict[str, External]:
    """The external test sets where nothing is ingested: TFRecords by the data contract.

    Args:
        config: The experiment.

    Raises:
        UserError: One is not; names it.
    """
    sets = {}
    for name, external in config.evaluate.external.items():
        with name_set(name):
            own = config_of(config, name)
            data = prepare.prepare_records(external.data, own, _say_nothing, whole=True)
        sets[name] = External(data.records, external.patients, 0, _files(data))
    return sets


def _say_nothing(text: str, style: str | None = None) -> None:
    del text, style


def _files(data: prepare.PreparedData) -> str:
    """What tells whether records changed; the folder of an ingest is named by its content."""
    return "" if data.records.report else file_list.fingerprint(data.records.base)


@contextmanager
def name_set(name: str) -> Iterator[None]:
    """Says of an error which set it is about, and where the config names it.

    Args:
        name: The set's.
    """
    try:
        yield
    except UserError as error:
        place = f"evaluate.external.{name}"
        where = "" if place in str(error) else f" ({place})"
        lines = (f"external test set {name}: {line}{where}" for line in error.lines)
        raise UserError(*lines) from None
