"""A version, loaded: answers by MLflow's scoring protocol, with what was asked and answered kept for the log."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controlplane.errors import ServingError, masked

_log = logging.getLogger(__name__)
JSON = "application/json"
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Request:
    """A body and the content type it came with."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, and for the log what the body held and what the model said (None where it never got that far).

    `error` may quote what was asked, `code` never does.
    """

    body: str
    status: int
    content_type: str
    inputs: Any = None
    outputs: Any = None
    error: str = ""
    code: str = ""


def refusal(status: int, code: str, message: str) -> Answer:
    """A refusal in MLflow's own form.

    >>> refusal(413, "BAD_REQUEST", "too long").body
    '{"error_code": "BAD_REQUEST", "message": "too long"}'
    """
    return Answer(json.dumps({"error_code": code, "message": message}), status, JSON, error=message, code=code)


class _Heard:
    """The model as MLflow's protocol asks it, once: what went in and came out stays here."""

    def __init__(self, model: Any, enforced: bool) -> None:
        self._model, self.metadata, self._enforced = model, model.metadata, enforced
        self.inputs: Any = None
        self.outputs: Any = None

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """What the model predicts."""
        # Without a signature to convert it to, a model gets the very data, and may change it.
        self.inputs = data if self._enforced else copy(data)
        self.outputs = self._model.predict(data, params=params)
        return self.outputs


class Loaded:
    """A version in memory. Its input schema is its own, so that a swap changes both at once."""

    def __init__(self, version: str, model: Any, folder: Path) -> None:
        self.version = version
        self._model, self._folder = model, folder
        self._schema = model.metadata.get_input_schema()

    @classmethod
    def load(cls, version: str, folder: Path) -> Loaded:
        """Open what was fetched of a version; raises ServingError with one sentence, whatever the model's code did."""
        # MLflow's own server says so too: some flavours convert their answers only then.
        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
        try:
            from mlflow.pyfunc import load_model

            return cls(version, load_model(str(folder)), folder)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise ServingError(f"version {version} could not be loaded: {_sentence(error)}") from None

    def warm_up(self, seen: Iterable[Request]) -> None:
        """Answer the version's own example, and requests that the version before answered; raises ServingError.

        What a version cannot answer now it could not answer as the one in charge either.
        """
        for what, request in [("its own input example", self._example()), *(("a recent request", one) for one in seen)]:
            if request is None:
                continue
            answer = self.answer(request)
            if answer.status != 200:
                raise ServingError(f"version {self.version} could not answer {what}: {answer.error}")

    def answer(self, request: Request) -> Answer:
        """Score one request; whatever goes wrong is an answer too, in MLflow's own form and without a stack trace."""
        from mlflow.exceptions import MlflowException
        from mlflow.pyfunc.scoring_server import CONTENT_TYPES, invocations

        if not request.content_type:
            return refusal(415, "BAD_REQUEST", f"a request needs a content type; valid: {', '.join(CONTENT_TYPES)}")
        heard = _Heard(self._model, self._schema is not None)
        try:
            found = invocations(request.body, request.content_type, heard, self._schema)
        except MlflowException as error:
            _log.debug("version %s could not answer", self.version, exc_info=True)
            said = json.loads(error.serialize_as_json())
            # Where our files lie and what our code looks like is nobody's business.
            said.pop("stack_trace", None)
            message = str(error.message)[:_LONGEST_ERROR]
            return Answer(
                json.dumps(said), error.get_http_status_code(), JSON, heard.inputs, error=message, code=error.error_code
            )
        except Exception as error:
            _log.warning("version %s broke off: %s", self.version, _sentence(error))
            failed = refusal(500, "INTERNAL_ERROR", f"version {self.version} broke off: {_sentence(error)}")
            return replace(failed, inputs=heard.inputs)
        error_text = "" if found.status == 200 else str(found.response)[:_LONGEST_ERROR]
        return Answer(found.response, found.status, found.mimetype, heard.inputs, heard.outputs, error_text)

    def _example(self) -> Request | None:
        """The request that MLflow saved with the model, where it was logged with an example."""
        file = self._folder / "serving_input_example.json"
        return Request(file.read_bytes(), JSON) if file.is_file() else None


def _sentence(error: BaseException) -> str:
    return masked(" ".join(str(error).split()))[:300] or type(error).__name__
