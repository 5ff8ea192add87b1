"""A Kubeflow Pipelines server, spoken to in its API v2beta1 through kfp's generated client.

`kfp.Client` wraps that same generated client. It is left out because it sets no time limit, prints
to stdout, tries a refused token for 25 seconds, and sends any server the cookies of a file in the
home folder.
"""

import json
import logging
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import kfp_server_api
import urllib3

from tfxray.components.common.compat import KfpService
from tfxray.components.common.errors import UserError
from tfxray.pipeline.kubeflow.auth import TOKEN_VARIABLE, Token, check_host, is_private

UI_VARIABLE = "KF_PIPELINES_UI_ENDPOINT"
# Seconds to connect and to answer: the server stores packages and starts workflows meanwhile.
LIMITS = (10, 60)
# Reads are tried again, and writes where no connection came about: then nothing was written.
RETRIES = 3
BACKOFF = 0.5
# One of the calls that the server tells beside an error of its own: a function, then file and line.
_GO_FRAME = re.compile(r"\n[^\n]+\n\t[^\n]+:\d+")
# Of filter.proto, in numbers, as kfp's own client sends them.
EQUALS, IS_SUBSTRING = 1, 9


class ServerError(UserError):
    """The server could not be reached, or refused.

    Attributes:
        status: Of HTTP; `None` where there was no answer, or none of the API's.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether it may well be gone in a while."""
        return self.status is None or self.status == 429 or self.status >= 500


class Server:
    """Asks the server. Each method raises `ServerError` where it cannot be reached, or refuses.

    Attributes:
        namespace: Of Kubernetes; `None` on a server that has but one.
    """

    def __init__(
        self,
        host: str,
        token: Token | None = None,
        namespace: str | None = None,
        ca: Path | None = None,
        plain_http: bool = False,
    ):
        """Connects with the first request.

        Args:
            host: Its address; see `auth.check_host`.
            token: Sent with every request.
            namespace: Of Kubernetes.
            ca: Certificates to trust, in PEM; default: those of Mozilla.
            plain_http: Send the token unencrypted too.

        Raises:
            UserError: An argument is wrong.
        """
        self.namespace, self._url, self._token = namespace, check_host(host), token
        if token and not plain_http and not is_private(self._url):
            raise UserError(
                f"{self._url}: the token would go over the network for all to read; use https, "
                "or --plain-http where nobody listens"
            )
        settings = kfp_server_api.Configuration(host=self._url)
        # It warns of each further try, on stderr.
        settings.logger["urllib3_logger"].setLevel(logging.ERROR)
        settings.retries = urllib3.Retry(
            RETRIES,
            allowed_methods=("GET",),
            status_forcelist=(500, 502, 503, 504),
            raise_on_status=False,
            backoff_factor=BACKOFF,
            respect_retry_after_header=False,
        )
        if ca:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca)
            except OSError as error:
                raise UserError(f"{ca}: holds no certificates: {error.strerror} (--ca)") from None
            settings.ssl_ca_cert = str(ca)
        if token:
            settings.api_key_prefix["authorization"] = "Bearer"
            settings.api_key["authorization"] = token.read()
            settings.refresh_api_key_hook = lambda its: its.api_key.update(
                authorization=token.read()
            )
        self._client = kfp_server_api.ApiClient(settings)

    def page(self, kind: str, id_: str = "") -> str:
        """The URL of a page for people.

        Args:
            kind: Such as `runs`.
            id_: Of the thing; without, the page lists all.
        """
        base = os.environ.get(UI_VARIABLE, self._url).rstrip("/")
        return f"{base}/#/{kind}/details/{quote(id_, safe='')}" if id_ else f"{base}/#/{kind}"

    def check(self) -> None:
        """Makes sure that the API is there, and a namespace given where there are many."""
        try:
            health = self._ask(self._service("Healthz").get_healthz)
        except ServerError as error:
            if error.status != 404:
                raise
            raise ServerError(
                f"{self._url}: no Kubeflow Pipelines with the API v2beta1 there: the server is too "
                "old (2.0 or newer is needed), or the address lacks its path (below Kubeflow's "
                "dashboard: /pipeline)",
                404,
            ) from None
        if health.multi_user and not self.namespace:
            raise UserError(f"{self._url} serves several namespaces; give yours: --namespace")

    def pipeline(self, name: str) -> str:
        """The pipeline of that name, made where there is none.

        Returns:
            Its id.
        """
        api = self._service("Pipeline")
        # Made empty: `upload` would give the first version the pipeline's own name.
        pipeline = self._find_or_make(
            name,
            api.list_pipelines,
            api.create_pipeline,
            kfp_server_api.V2beta1Pipeline,
            "pipelines",
        )
        return self._id(pipeline, "pipeline_id")

    def versions(self, pipeline: str, name: str, operation: int = EQUALS) -> dict[str, str]:
        """Versions of a pipeline whose name is the given one, or contains it.

        Args:
            pipeline: Its id.
            name: The name, or a part of it.
            operation: `EQUALS` or `IS_SUBSTRING`.

        Returns:
            Their descriptions, by id.
        """
        api = self._service("Pipeline")
        versions = self._ask(
            api.list_pipeline_versions, pipeline, filter=_name_filter(name, operation)
        ).pipeline_versions
        return {
            self._id(version, "pipeline_version_id"): version.description or ""
            for version in versions or []
        }

    def upload(self, pipeline: str, package: Path, name: str, description: str) -> str:
        """Uploads a version.

        Args:
            pipeline: The pipeline's id.
            package: The file.
            name: The version's.
            description: Stands on its page.

        Returns:
            Its id.
        """
        api = kfp_server_api.PipelineUploadServiceApi(self._client)
        version = self._ask(
            api.upload_pipeline_version,
            str(package),
            name=name,
            pipelineid=pipeline,
            description=description,
        )
        return self._id(version, "pipeline_version_id")

    def experiment(self, name: str) -> str:
        """The experiment of that name, made where there is none.

        Returns:
            Its id.
        """
        api = self._service("Experiment")
        kind = kfp_server_api.V2beta1Experiment
        experiment = self._find_or_make(
            name, api.list_experiments, api.create_experiment, kind, "experiments"
        )
        return self._id(experiment, "experiment_id")

    def _find_or_make(
        self,
        name: str,
        find: Callable[..., Any],
        make: Callable[..., Any],
        kind: Callable[..., Any],
        field: str,
    ) -> Any:
        """The thing of that name, in the namespace; one that is new where there is none."""
        which = {"filter": _name_filter(name)} | self._where()
        things = getattr(self._ask(find, **which), field)
        if things:
            return things[0]
        return self._ask(make, kind(display_name=name, namespace=self.namespace))

    def start(self, run: dict[str, Any]) -> str:
        """Starts a run.

        Args:
            run: The fields of a `V2beta1Run`.

        Returns:
            Its id.
        """
        body = kfp_server_api.V2beta1Run(**run)
        api = self._service("Run")
        return self._id(self._ask(api.create_run, body), "run_id")

    def run(self, run_id: str) -> dict[str, Any]:
        """A run as it stands now, with its tasks, in the API's own JSON.

        The generated models lack what later servers tell. From version 3.0 on, and on demand only,
        these tell tasks with their output parameters.
        """
        run: dict[str, Any] = self._ask(
            self._client.call_api,
            "/apis/v2beta1/runs/{run_id}",
            "GET",
            path_params={"run_id": run_id},
            query_params=[("view", "FULL")],
            header_params={"Accept": "application/json"},
            response_type="object",
            auth_settings=["Bearer"],
            _return_http_data_only=True,
        )
        return run

    def recurring(self, experiment: str, name: str) -> str | None:
        """The id of the experiment's recurring run of that name, if there is one."""
        api = self._service("RecurringRun")
        runs = self._ask(
            api.list_recurring_runs, experiment_id=experiment, filter=_name_filter(name)
        ).recurring_runs
        return self._id(runs[0], "recurring_run_id") if runs else None

    def schedule(self, run: dict[str, Any], cron: str) -> str:
        """Makes a recurring run; one at a time, and what was missed is not caught up.

        Args:
            run: The fields of a `V2beta1RecurringRun`.
            cron: Six fields, seconds first.

        Returns:
            Its id.
        """
        body = kfp_server_api.V2beta1RecurringRun(
            **run,
            mode=kfp_server_api.RecurringRunMode.ENABLE,
            max_concurrency="1",
            no_catchup=True,
            trigger=kfp_server_api.V2beta1Trigger(
                cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=cron)
            ),
        )
        api = self._service("RecurringRun")
        return self._id(self._ask(api.create_recurring_run, body), "recurring_run_id")

    def _service(self, name: str) -> KfpService:
        return KfpService(getattr(kfp_server_api, f"{name}ServiceApi")(self._client))

    def _where(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    def _id(self, thing: Any, field: str) -> str:
        id_ = getattr(thing, field)
        if not isinstance(id_, str) or not id_:
            raise self._strange()
        return id_

    def _ask(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            answer = call(*args, **kwargs, _request_timeout=LIMITS)
        except kfp_server_api.ApiException as error:
            raise self._refusal(error) from None
        except urllib3.exceptions.HTTPError as error:
            raise ServerError(f"{self._url}: {_unreachable(error)}") from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # The generated client falls over what the API would not send: bodies that are no
            # UTF-8, of refusals too, and other fields than there should be.
            if isinstance(error.__context__, kfp_server_api.ApiException):
                raise self._refusal(error.__context__) from None
            raise self._strange() from None
        if "json" not in (self._client.last_response.getheader("content-type") or "json"):
            raise self._strange()
        return answer

    def _strange(self) -> ServerError:
        return ServerError(
            f"{self._url}: the answer is not the API's, but a page such as one to log in"
            + ("" if self._token else f"; {_NO_TOKEN}")
        )

    def _refusal(self, error: Any) -> ServerError:
        status, message = error.status or None, _message(error.body)
        if self._token:
            message = message.replace(self._token.read(), "***")
        why = f": {message}" if message else ""
        if status == 401:
            origin = self._token.origin if self._token else ""
            because = f"the token of {origin} is wrong or has expired" if origin else _NO_TOKEN
            text = f"not logged in (401): {because}"
        elif status == 403:
            place = f"in the namespace {self.namespace}" if self.namespace else "there"
            text = f"no permission {place} (403){why}"
        elif status == 409:
            text = f"the name is taken (409){why}"
        elif status is None:
            return self._strange()
        elif status >= 500:
            text = f"the server fails ({status}){why}; try again later"
        else:
            text = f"the server refuses ({status}){why or f': {error.reason}'}"
        return ServerError(f"{self._url}: {text}", status)


_NO_TOKEN = f"no token was given: set {TOKEN_VARIABLE}, or give --token-env or --token-file"


def _name_filter(name: str, operation: int = EQUALS) -> str:
    predicate = {"operation": operation, "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _message(body: Any) -> str:
    """What the server says, if it is the API that speaks."""
    try:
        content = json.loads(body)
        return one_line(
            content.get("message") or content.get("error_message") or content.get("error")
        )
    except (ValueError, TypeError, AttributeError):
        return ""


def one_line(message: Any) -> str:
    """What a server tells, fit for a terminal: one line, not too long, nothing but text."""
    text = _GO_FRAME.sub("", str(message or ""))
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else f"{line[:300]} …"


def _unreachable(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    text = re.sub(r"\[Errno -?\d+\] ", "", str(reason).rpartition(": ")[2])
    if isinstance(reason, urllib3.exceptions.SSLError):
        return f"TLS fails: {reason}; certificates of your own: --ca; is it http:// instead?"
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return f"cannot be reached: {text}"
    if isinstance(reason, urllib3.exceptions.ConnectTimeoutError):
        return f"cannot be reached: no connection within {LIMITS[0]} s"
    if isinstance(reason, urllib3.exceptions.ReadTimeoutError):
        return f"no answer within {LIMITS[1]} s"
    return f"the connection broke off: {text or type(reason).__name__}"
