"""A container as the cluster's nodes run it: runc, no rights, a root that nobody writes to."""

import json
import subprocess
from pathlib import Path

from tests.image.images import Image, run


def run_in(
    image: Image, command: list[str], volume: Path, bundle: Path, mount: str = "/mnt/tfxray"
) -> subprocess.CompletedProcess:
    """Runs a command in an image, by the image's user, without a network.

    Args:
        image: The image.
        command: What runs, by the image's PATH.
        volume: A folder of this machine that the container may write to, if its user may.
        bundle: A folder for runc's files, empty.
        mount: Where the volume appears.
    """
    bundle.mkdir()
    run("runc", "spec", cwd=bundle)
    path = bundle / "config.json"
    spec = json.loads(path.read_text())
    user, _, group = image.config["User"].partition(":")
    spec["root"] = {"path": str(image.root), "readonly": True}
    spec["process"] |= {
        "terminal": False,
        "user": {"uid": int(user), "gid": int(group)},
        "args": command,
        "env": image.config["Env"],
        "cwd": image.config["WorkingDir"],
        "capabilities": {},
        "noNewPrivileges": True,
    }
    spec["mounts"] += [
        {
            "destination": "/tmp",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "nodev", "mode=1777"],
        },
        {"destination": mount, "type": "bind", "source": str(volume), "options": ["bind", "rw"]},
    ]
    path.write_text(json.dumps(spec))
    name = f"tfxray-test-{bundle.name}"
    return subprocess.run(
        ["runc", "--root", bundle / "state", "run", "--bundle", bundle, name],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
