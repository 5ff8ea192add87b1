"""KServe's own Python server around what tfxray pushes, where TensorFlow Serving cannot be had.

It needs KServe and TensorFlow, and nothing of tfxray. It serves the newest version of a folder, as
TensorFlow Serving does: a version is looked for every 30 seconds, and loaded beside the one that is
served; that one goes when its last request has been answered.

    python server.py --model_name demo --folder /mnt/models

It answers TensorFlow Serving's REST protocol (`/v1/models/demo:predict`) and the Open Inference
Protocol (`/v2/models/demo/infer`), by each signature that the model has.
"""

import argparse
import asyncio
import base64
import binascii
import threading
import uuid
from pathlib import Path
from typing import Any

import kserve
import numpy as np
import tensorflow as tf
from kserve import InferOutput, InferRequest, InferResponse
from kserve.errors import InvalidInput
from kserve.logging import logger

_DEFAULT = "serving_default"
_TYPES = {tf.float32: "FP32", tf.float64: "FP64", tf.int32: "INT32", tf.int64: "INT64"}


class Version:
    """One version of a model, loaded.

    Args:
        folder: The SavedModel's; its name is the version's number.
    """

    def __init__(self, folder: Path):
        self.number = folder.name
        self._model = tf.saved_model.load(str(folder))
        self.signatures = dict(self._model.signatures)
        self.inputs = {name: self._find_input(name) for name in self.signatures}

    def _find_input(self, signature: str) -> str:
        names = list(self.signatures[signature].structured_input_signature[1])
        if len(names) != 1:
            raise ValueError(f"the signature {signature} takes {names}, and not one batch of texts")
        return names[0]

    def run(self, signature: str, batch: list[bytes]) -> dict[str, np.ndarray]:
        """Outputs by name, each with one row for each element of the batch.

        Raises:
            InvalidInput: The model cannot read one of them.
        """
        call = self.signatures[signature]
        try:
            outputs = call(**{self.inputs[signature]: tf.constant(batch, tf.string)})
        except tf.errors.OpError as error:
            told, _, _ = str(error.message).partition("\n\t [[")  # the graph's nodes follow
            reason = (told.strip().splitlines() or [""])[-1]
            raise InvalidInput(f"the model cannot read an instance: {reason[:200]}") from None
        return {name: value.numpy() for name, value in outputs.items()}


class PushedModel(kserve.Model):
    """The newest version in a folder.

    Args:
        name: As clients call it.
        folder: Holds a folder for each version, whose name is a number.
        seconds: How often it is looked at.
    """

    def __init__(self, name: str, folder: Path, seconds: float):
        super().__init__(name)
        self._folder, self._seconds = folder, seconds
        self._version: Version | None = None
        self._refused = ""
        self._ended = threading.Event()

    def load(self) -> bool:
        """Serves what is there, and looks for newer versions from then on."""
        self._look()
        threading.Thread(target=self._watch, daemon=True).start()
        return self.ready

    def stop(self) -> None:
        """Ends the looking."""
        self._ended.set()

    def get_input_types(self) -> list[dict[str, Any]]:
        """See `kserve.Model`: each signature's input, by its name."""
        names = set(self._version.inputs.values()) if self._version else ()
        return [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in sorted(names)]

    def get_output_types(self) -> list[dict[str, Any]]:
        """See `kserve.Model`: what every signature returns."""
        outputs: dict[str, Any] = {}
        for signature in self._version.signatures.values() if self._version else ():
            outputs |= signature.structured_outputs
        return [
            {"name": name, "datatype": _TYPES.get(spec.dtype, "BYTES"),
             "shape": [-1 if size is None else size for size in spec.shape]}
            for name, spec in sorted(outputs.items())
        ]  # fmt: skip

    async def predict(
        self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None
    ) -> dict[str, Any] | InferResponse:
        """Answers one request by the version that is served when it comes; see `kserve.Model`."""
        version = self._version
        if version is None:
            raise kserve.errors.ModelNotReady(self.name, "no version has been pushed")
        answer = _answer_v2 if isinstance(payload, InferRequest) else _answer_v1
        # TensorFlow computes beside the loop that takes in the requests.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, answer, version, payload)

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            self._look()

    def _look(self) -> None:
        """Loads the newest version if it is not the one that is served."""
        found = [path for path in self._folder.glob("*/saved_model.pb") if _is_number(path)]
        newest = max(found, key=lambda path: int(path.parent.name), default=None)
        if newest is None:
            logger.info("%s holds no version yet", self._folder)
            return
        number = newest.parent.name
        if number in (self._version and self._version.number, self._refused):
            return
        try:
            self._version, self._refused = Version(newest.parent), ""
        except Exception as error:  # of any kind: what is served goes on
            self._refused = number
            logger.error("version %s cannot be loaded: %s", number, error)
            return
        self.ready = True
        logger.info("version %s is served", number)


def _is_number(saved_model: Path) -> bool:
    name = saved_model.parent.name
    return name.isascii() and name.isdecimal()


def _answer_v1(version: Version, payload: dict[str, Any]) -> dict[str, Any]:
    """TensorFlow Serving's REST: `instances`, a row each, or `inputs`, a column."""
    if not isinstance(payload, dict):
        raise InvalidInput("a request is a JSON object with instances or inputs")
    signature = _known(version, payload.get("signature_name", _DEFAULT))
    given = [key for key in ("instances", "inputs") if key in payload]
    if len(given) != 1:
        raise InvalidInput("a request has either instances or inputs")
    rows = payload[given[0]]
    if given == ["inputs"] and isinstance(rows, dict) and "b64" not in rows:
        rows = _only(rows, version.inputs[signature])
    if not isinstance(rows, list) or not rows:
        raise InvalidInput(f"{given[0]} is a list of at least one element")
    batch = [_decode(row, version.inputs[signature], place) for place, row in enumerate(rows)]
    outputs = {name: _plain(value) for name, value in version.run(signature, batch).items()}
    columns = outputs if len(outputs) > 1 else next(iter(outputs.values()))
    if given == ["inputs"]:
        return {"outputs": columns}
    if len(outputs) == 1:
        return {"predictions": columns}
    answers = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in answers]}


def _answer_v2(version: Version, request: InferRequest) -> InferResponse:
    """The Open Inference Protocol; JSON holds bytes as base64, by `content_type`."""
    if len(request.inputs) != 1:
        raise InvalidInput(f"a request has one input, and not {len(request.inputs)}")
    (given,) = request.inputs
    wanted = (request.parameters or {}).get("signature_name")
    if wanted is None:
        named = [name for name, taken in version.inputs.items() if taken == given.name]
        if len(named) != 1:
            raise InvalidInput(
                f"no input is called {given.name!r}; there are "
                f"{', '.join(sorted(set(version.inputs.values())))}"
            )
        wanted = named[0]
    signature = _known(version, wanted)
    if given.name != version.inputs[signature]:
        raise InvalidInput(
            f"the input of {signature} is called {version.inputs[signature]}, not {given.name!r}"
        )
    if given.datatype != "BYTES":
        raise InvalidInput(f"{given.name} is of BYTES, and not of {given.datatype}")
    values = given.as_numpy().reshape(-1).tolist()
    if not values:
        raise InvalidInput(f"{given.name} holds no element")
    if (given.parameters or {}).get("content_type") == "base64":
        batch = [_decode({"b64": _text(value)}, given.name, n) for n, value in enumerate(values)]
    else:
        batch = [value.encode() if isinstance(value, str) else bytes(value) for value in values]
    outputs = []
    for name, value in version.run(signature, batch).items():
        kind = _TYPES.get(tf.as_dtype(value.dtype), "BYTES")
        output = InferOutput(name, list(value.shape), kind)
        output.set_data_from_numpy(value, binary_data=bool(request.use_binary_outputs))
        outputs.append(output)
    return InferResponse(
        request.id or str(uuid.uuid4()), request.model_name, outputs, model_version=version.number,
        use_binary_outputs=bool(request.use_binary_outputs),
    )  # fmt: skip


def _known(version: Version, signature: object) -> str:
    if not isinstance(signature, str) or signature not in version.signatures:
        raise InvalidInput(
            f"no signature is called {signature!r}; there are {', '.join(version.signatures)}"
        )
    return signature


def _only(row: dict[str, Any], name: str) -> Any:
    if list(row) != [name]:
        raise InvalidInput(f"the only input is {name}; given are {', '.join(map(str, row)) or '-'}")
    return row[name]


def _decode(row: Any, name: str, place: int) -> bytes:
    """The bytes that an element of a request stands for."""
    if isinstance(row, dict) and "b64" not in row:
        row = _only(row, name)
    if isinstance(row, dict):
        row = row.get("b64") if set(row) == {"b64"} else None
        try:
            return base64.b64decode(row, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise InvalidInput(f"instance {place}: b64 holds no base64") from None
    raise InvalidInput(f'instance {place} is no {{"b64": "..."}}')


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("ascii", "replace")


def _plain(value: np.ndarray) -> list:
    """An array as JSON takes it."""
    if value.dtype != object:
        return value.tolist()
    return np.vectorize(lambda text: text.decode("utf-8", "replace"), otypes=[object])(
        value
    ).tolist()


def main() -> None:
    """Reads the command line, and serves."""
    parser = argparse.ArgumentParser(
        parents=[kserve.model_server.parser], conflict_handler="resolve"
    )
    parser.add_argument("--model_name", default="model", help="as clients call the model")
    parser.add_argument("--folder", type=Path, default=Path("/mnt/models"))
    parser.add_argument("--poll_seconds", type=float, default=30)
    arguments, _ = parser.parse_known_args()
    model = PushedModel(arguments.model_name, arguments.folder, arguments.poll_seconds)
    model.load()
    kserve.ModelServer().start([model])


if __name__ == "__main__":
    main()
