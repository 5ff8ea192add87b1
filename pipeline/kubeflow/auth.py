"""How a Kubeflow Pipelines server is reached: its address, and the token that opens it."""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tfxray.components.common.errors import UserError

TOKEN_VARIABLE = "KF_PIPELINES_TOKEN"
# Names that only a cluster's own DNS knows: their traffic does not leave it.
_CLUSTER_DOMAINS = (".svc", ".cluster.local")


@dataclass(frozen=True)
class Token:
    """Where the bearer token comes from: a variable of the environment, or a file.

    A file is read again for every request: Kubernetes renews its projected tokens.
    """

    variable: str | None = None
    file: Path | None = None

    @classmethod
    def find(cls, variable: str | None, file: Path | None) -> "Token | None":
        """The token asked for; else that of `KF_PIPELINES_TOKEN`, where that is set.

        Args:
            variable: Its name.
            file: Its path.

        Raises:
            UserError: It is not there, is empty, or can be no token.
        """
        if not variable and not file and os.environ.get(TOKEN_VARIABLE):
            variable = TOKEN_VARIABLE
        token = cls(variable, file) if variable or file else None
        if token:
            token.read()
        return token

    @property
    def origin(self) -> str:
        """What the user calls it."""
        return f"the file {self.file}" if self.file else f"the variable {self.variable}"

    def read(self) -> str:
        """The token itself.

        Raises:
            UserError: It is not there, is empty, or can be no token.
        """
        try:
            text = (
                self.file.read_text("ascii") if self.file else os.environ.get(self.variable or "")
            )
        except OSError as error:
            raise UserError(
                f"{self.file}: cannot be read: {error.strerror} (--token-file)"
            ) from None
        except UnicodeDecodeError:
            raise UserError(f"{self.file}: holds no token: it is not text (--token-file)") from None
        if text is None:
            raise UserError(f"{self.variable}: no such variable in the environment (--token-env)")
        text = text.strip()
        if not re.fullmatch(r"[!-~]+", text):
            raise UserError(
                f"{self.origin} holds no token: it is empty, or has blanks or other characters "
                "that no token has"
            )
        return text


def check_host(host: str) -> str:
    """The URL below which the API lies.

    Args:
        host: As the user gave it; without a scheme it is taken for https, as kfp does.

    Raises:
        UserError: It is no address, or holds more than one.
    """
    url = host if "://" in host else f"https://{host}"
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise UserError(f"--host: is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(
            "--host: write it as https://HOST[:PORT][/PATH], such as "
            "http://localhost:8888 or https://kubeflow.example.org/pipeline"
        )
    if parts.username is not None or parts.password is not None:
        raise UserError("--host: no name and password there; see --token-env and --token-file")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    base = f"{parts.scheme}://{name}{port}{parts.path.rstrip('/')}"
    if parts.query or parts.fragment:
        raise UserError(f"--host: leave out what follows ? and #: {base}")
    return base


def is_private(url: str) -> bool:
    """Whether nobody on the way can read along: TLS, this machine, or within a cluster."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    if parts.scheme == "https" or name == "localhost" or name.endswith(_CLUSTER_DOMAINS):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
