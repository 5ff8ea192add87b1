"""`tfxray submit` and what can be wrong with a server, a token or a command line: plain errors."""

import datetime
import ipaddress
import socket
import ssl
from pathlib import Path

import pytest

from tests.conftest import DEMO
from tests.kfp_fake import Fault, serving
from tfxray.components.common.errors import UserError
from tfxray.pipeline.kubeflow import auth
from tfxray.pipeline.kubeflow.server import Server

TOKEN = "s3cret-t0ken"


_TRACED = (
    "Internal error: no component\nFailed to compile job\n"
    "github.com/kubeflow/pipelines/backend/src/common/util.Wrap\n\t/go/src/util/error.go:361\n"
    "main.apiServerInterceptor\n\t/go/src/interceptor.go:30"
)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([Fault("GET healthz", 404)], "too old (2.0 or newer is needed)"),
        ([Fault("GET healthz", 401)], "not logged in (401): no token was given: set KF_PIPELINES_"),
        ([Fault("GET healthz", 302)], "a page such as one to log in; no token was given"),
        ([Fault("GET healthz", "page")], "the answer is not the API's"),
        ([Fault("GET healthz", 200, body={"multi_user": True})], "give yours: --namespace"),
        ([Fault(".*", 503)], "the server fails (503); try again later"),
        ([Fault("GET .*", "drop")], "the connection broke off"),
        ([Fault("GET .*", "slow")], "no answer within 0.5 s"),
        ([Fault("POST experiments", 403, body={"message": "nope"})], "there (403): nope"),
        (
            [Fault("POST pipelines", 409, body={"error": "exists"})],
            "the name is taken (409): exists",
        ),
        (
            [Fault("POST .*upload_version", 413, body={"error_message": "big"})],
            "refuses (413): big",
        ),
        # As KFP 2.17.0 answered: the error with the calls of its own that led there.
        (
            [Fault("POST experiments", 500, body={"code": 13, "message": _TRACED})],
            "the server fails (500): Internal error: no component Failed to compile job; try again",
        ),
        ([Fault("POST experiments", "page")], "the answer is not the API's"),
        ([Fault("GET experiments", 200, body={"experiments": [1]})], "the answer is not the API's"),
        ([Fault("POST experiments", 200, body={})], "the answer is not the API's"),
    ],
)
def test_a_server_that_refuses_is_told_of_plainly(submitted, server, faults, message):
    server.faults = faults
    result = submitted("--json")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert server.url in result.err
    assert "Traceback" not in result.err
    assert "<" not in result.err
    assert not server.made("runs")


def test_what_passes_by_itself_is_tried_again(submitted, server):
    server.faults = [Fault("GET .*", 500, 2), Fault("GET pipelines", "drop", 1)]
    result = submitted()
    assert (result.code, result.err, len(server.made("runs"))) == (0, "", 1)


@pytest.mark.parametrize("kind", ["runs", "recurringruns"])
def test_what_may_have_been_started_is_not_started_again(submitted, server, kind):
    server.faults = [Fault(f"POST {kind}", "drop")]
    result = submitted(*(["--cron", "0 0 3 * * 1"] if kind == "recurringruns" else []))
    assert result.code == 2
    assert f"may have been started all the same: look at {server.url}/#/{kind}" in result.err
    assert server.counted(f"POST {kind}") == 1


def test_a_server_that_is_not_there(tfxray, server, package, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    for host, message in {
        f"http://127.0.0.1:{port}": "cannot be reached: Connection refused",
        "http://no-such-host.invalid": "no-such-host.invalid: cannot be reached",
        server.url.replace("http:", "https:"): "is it http:// instead?",
    }.items():
        result = tfxray("submit", "--host", host, "--package", package, "--data", "s3://x")
        assert result.code == 2
        assert message in result.err
        assert "Traceback" not in result.err


def test_a_certificate_of_one_s_own_is_trusted_if_named(tfxray, package, tmp_path):
    certificate = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serving(tls) as fake:
        call = ("submit", "--host", fake.url, "--package", package, "--data", "s3://x")
        refusal = tfxray(*call)
        assert refusal.code == 2
        assert "TLS fails" in refusal.err
        assert "--ca" in refusal.err
        assert tfxray(*call, "--ca", certificate).code == 0
        assert len(fake.made("runs")) == 1


def self_signed(folder: Path) -> Path:
    """A key and its certificate for this machine, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / "test.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    return path


@pytest.mark.parametrize("given", ["default", "variable", "file"])
def test_the_token_is_sent_and_never_shown(submitted, server, given, tmp_path, monkeypatch):
    server.token = TOKEN
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    variable = auth.TOKEN_VARIABLE if given == "default" else "MINE"
    monkeypatch.setenv(variable, TOKEN)
    how = {"default": [], "variable": ["--token-env", "MINE"], "file": ["--token-file", file]}
    assert submitted(*how[given], "--wait").code == 0
    server.faults = [Fault("GET pipelines", 400, body={"message": f"what is {TOKEN}?"})]
    refused = submitted(*how[given])
    assert "refuses (400): what is ***?" in refused.err
    server.token, server.faults = "another", []
    expired = submitted(*how[given])
    origin = f"the file {file}" if given == "file" else f"the variable {variable}"
    assert expired.code == 2
    assert f"not logged in (401): the token of {origin} is wrong or has expired" in expired.err
    assert TOKEN not in refused.err + refused.out + expired.err + expired.out


def test_a_redirection_takes_no_token_along_to_another_server(submitted, server, monkeypatch):
    monkeypatch.setenv("MINE", TOKEN)
    with serving() as other:
        moved = {"location": f"{other.url}/apis/v2beta1/healthz"}
        server.faults = [Fault("GET healthz", 302, 1, moved)]
        assert submitted("--token-env", "MINE").code == 0
        assert other.tokens == [None]
        assert set(server.tokens) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such variable in the environment (--token-env)"),
        (" ", "the variable MINE holds no token"),
        ("two words", "the variable MINE holds no token"),
        ("a\nX-Evil: 1", "the variable MINE holds no token"),
    ],
)
def test_what_is_no_token_is_refused(submitted, server, content, message, monkeypatch):
    if content is not None:
        monkeypatch.setenv("MINE", content)
    result = submitted("--token-env", "MINE")
    assert result.code == 2
    assert message in result.err
    assert not server.requests


def test_a_token_goes_where_nobody_reads_along(monkeypatch):
    monkeypatch.setenv("MINE", TOKEN)
    token = auth.Token("MINE")
    for host in (
        "kubeflow.example.org", "https://10.0.0.1/pipeline", "http://localhost:8888",
        "http://127.0.0.2", "http://[::1]:8888", "http://ml-pipeline.kubeflow.svc:8888",
        "http://ml-pipeline.kubeflow.svc.cluster.local:8888",
    ):  # fmt: skip
        Server(host, token)
    for host in ("http://kubeflow.example.org", "http://10.0.0.1", "http://localhost.evil.org"):
        with pytest.raises(UserError, match="over the network for all to read"):
            Server(host, token)
        Server(host, token, plain_http=True)
        Server(host)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "ftp://x"], "write it as https://HOST"),
        (["--host", "https://"], "write it as https://HOST"),
        (["--host", "https://x:port"], "--host: is no address"),
        (["--host", f"https://me:{TOKEN}@x"], "no name and password there"),
        (["--host", "https://x/pipeline/?ns=a#/runs"], "follows ? and #: https://x/pipeline\n"),
        (["--cron", "0 3 * * 1"], "six fields, seconds first: '0 0 3 * * 1'"),
        (["--cron", "now"], "must have six fields"),
        (["--cron", "@daily", "--wait"], "not with --cron"),
        (["--timeout", "2h"], "--timeout goes with --wait"),
        (["--wait", "--timeout", "2 hours"], "write 90s, 45m, 2h or 1d"),
        (["--config", str(DEMO)], "give --config or --package"),
        (["--set", "train.epochs=3"], "--set goes with --config"),
        (["--token-env", "A", "--token-file", "b"], "not both"),
        (["--token-file", "no-such"], "no-such: cannot be read"),
        (["--ca", "no-such"], "no-such: holds no certificates: No such file"),
        (["--ca", __file__], "test_server.py: holds no certificates"),
        (["--param", "steps"], "--param NAME=VALUE"),
        (["--param", "data=b"], "data is given twice"),
        (["--param", "epochs=3"], "epochs: no parameter of xrays.yaml; it has: data, fast, root"),
        (["--param", "steps=many"], "must be of the type NUMBER_INTEGER"),
        (["--param", "steps=true"], "must be of the type NUMBER_INTEGER"),
        (["--package", "no-such.yaml"], "no-such.yaml: no such file (--package)"),
        (["--package", __file__], "ends in .yaml or .yml"),
        (["--package", str(DEMO)], "is no package of Kubeflow Pipelines 2"),
    ],
)
def test_wrong_usage_changes_nothing(submitted, server, arguments, message):
    result = submitted(*arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert TOKEN not in result.err
    assert not server.made("pipelines")
    assert not server.uploads


def test_a_parameter_without_a_default_is_asked_for(submitted, server):
    result = submitted(data=None)
    assert result.code == 2
    assert "data: xrays.yaml has no default" in result.err
    assert not server.made("pipelines")
