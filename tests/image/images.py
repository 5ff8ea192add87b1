"""Images built here, without Docker and without a registry: buildah, over bases by debootstrap.

The bases stand under the names of the Dockerfile's `FROM` lines. They are Debian's own Python, in
the place of Docker's official image of the same Debian and the same minor version.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

SHELF = ROOT / "build" / "image"
DOCKERFILE = ROOT / "kubeflow" / "Dockerfile"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_TOOLS = ("buildah", "debootstrap", "runc", "tar", "unshare")
_SUITE, _MIRROR = "trixie", "http://deb.debian.org/debian"
# As in the official images: a `python` with pip, which installs where it likes.
_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv,python-is-python3"
_SLIM = f"""\
FROM scratch
ADD slim.tar /
RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
ENV SSL_CERT_FILE={CERTIFICATES}
"""
_FULL = """\
FROM localhost/slim
RUN apt-get update && apt-get install -y --no-install-recommends g++ python3-dev
"""


@dataclass(frozen=True)
class Image:
    """A built image.

    Attributes:
        name: In buildah's store.
        config: What it says of itself, as OCI has it.
        root: Its files; None of them may be changed.
        text: Config and history, as one text.
    """

    name: str
    config: dict[str, Any]
    root: Path
    text: str


def check_tools() -> None:
    """Skips, and says why, where no image can be built."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid():
        pytest.skip("NOT RUN: images are built by root here")
    if missing:
        pytest.skip(f"NOT RUN: no {', '.join(missing)} (apt-get install {' '.join(missing)})")


def run(*command: object, **more: Any) -> str:
    """Runs a command; returns what it prints.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode:
        raise RuntimeError(
            f"{command}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def buildah(*arguments: object, **more: Any) -> str:
    """Runs buildah, in a store of its own."""
    policy = SHELF / "policy.json"
    policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    first, *rest = arguments
    if first in ("build", "from", "commit"):
        rest = ["--signature-policy", policy, *rest]
    stores = ("--root", SHELF / "storage", "--runroot", SHELF / "run")
    return run("buildah", *stores, first, *rest, **more)


def make_bases(dockerfile: Path = DOCKERFILE) -> None:
    """Makes the images that the Dockerfile begins with, once."""
    SHELF.mkdir(parents=True, exist_ok=True)
    held = buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
    if "localhost/slim:latest" not in held:
        tree, archive = SHELF / "slim", SHELF / "slim.tar"
        shutil.rmtree(tree, ignore_errors=True)
        try:
            run("unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={_PACKAGES}",
                _SUITE, tree, _MIRROR)  # fmt: skip
        except RuntimeError as error:
            pytest.skip(f"NOT RUN: no Debian to build on: {str(error)[-300:]}")
        # Some networks have a certificate of their own.
        shutil.copy(CERTIFICATES, tree / str(CERTIFICATES)[1:])
        run("tar", "--create", "--numeric-owner", "--file", archive, "--directory", tree, ".")
        shutil.rmtree(tree)
        _build_text(_SLIM, "slim")
        archive.unlink()
    if "localhost/full:latest" not in held:
        _build_text(_FULL, "full")
    for name, kind in re.findall(
        r"^FROM (python:\S+) AS (full|slim)-", dockerfile.read_text(), re.M
    ):
        buildah("tag", f"localhost/{kind}", f"docker.io/library/{name}")


def build(
    dockerfile: Path, target: str, context: Path, arguments: Sequence[str], tag: str
) -> Image:
    """Builds a target of a Dockerfile, and shows what came of it.

    Args:
        dockerfile: The file.
        target: The stage.
        context: The folder that `COPY` takes from.
        arguments: `NAME=VALUE` of each `ARG`.
        tag: The image's name.
    """
    more = [word for argument in arguments for word in ("--build-arg", argument)]
    buildah("build", "--pull-never", "--isolation", "chroot", "--layers", "--target", target,
            "--file", dockerfile, *more, "--tag", tag, context)  # fmt: skip
    return open_image(tag)


def open_image(tag: str) -> Image:
    """An image's config, and its files in a container that nothing runs in."""
    text = buildah("inspect", "--type", "image", tag)
    container = buildah("from", "--pull-never", tag).strip()
    root = Path(buildah("mount", container).strip())
    return Image(tag, json.loads(text)["OCIv1"]["config"], root, text)


def close_all() -> None:
    """Removes the containers, and what buildah leaves mounted; the images stay."""
    buildah("rm", "--all")
    subprocess.run(["umount", "--recursive", SHELF / "storage" / "overlay"], capture_output=True)
    shutil.rmtree(SHELF / "run")


def _build_text(text: str, tag: str) -> None:
    file = SHELF / f"{tag}.Dockerfile"
    file.write_text(text)
    buildah("build", "--pull-never", "--isolation", "chroot", "--file", file, "--tag", tag, SHELF)
