"""A folder of modules under every name that a process of ours may import; each leaves a mark."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("tfxray")


class Traps:
    """The folder, and what ran of it.

    A folder of data may hold such modules: nothing that came with the data may run.
    """

    def __init__(self, folder: Path, marks: Path):
        self.folder, self._marks = folder, marks
        folder.mkdir(parents=True, exist_ok=True)
        names = {*sys.stdlib_module_names, *(m.name for m in pkgutil.iter_modules())}
        names |= {name.partition(".")[0] for name in sys.modules} - {"__main__", "__mp_main__"}
        names |= {"tfxray", "sitecustomize", "usercustomize"}
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
        for name in names:
            (folder / f"{name}.py").write_text(
                f"import posix\nmarks = posix.open({str(marks)!r}, {flags})\n"
                f"posix.write(marks, b'{name} ')\nraise ImportError('a trap')\n"
            )
            if name not in sys.builtin_module_names and len(name) % 2:  # a package goes first
                (folder / name).mkdir()
                (folder / f"{name}.py").rename(folder / name / "__init__.py")

    def sprung(self) -> set[str]:
        """The modules that ran since the last call."""
        ran = set(self._marks.read_text().split()) if self._marks.exists() else set()
        self._marks.unlink(missing_ok=True)
        return ran

    def run(self, *command: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the folder."""
        environment = {"CUDA_VISIBLE_DEVICES": "", **os.environ, **variables}
        return subprocess.run(
            [str(part) for part in command],
            cwd=self.folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
