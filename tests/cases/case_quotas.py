"""A 429 with details, as each of Google's SDKs gives it to its caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ways import HAS_GENAI, HAS_GENERATIVEAI

Detail = dict[str, Any]


def retry_info(delay: Any) -> Detail:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota_failure(*quota_ids: str) -> Detail:
    violations = [{"quotaMetric": "requests", "quotaId": quota_id} for quota_id in quota_ids]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


def as_genai_says(*details: Detail) -> Exception:
    from google.genai import errors

    said = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "no", "details": list(details)}
    error: Exception = errors.ClientError(429, {"error": said})
    return error


def as_rest_says(*details: Detail) -> Exception:
    from google.api_core import exceptions

    error: Exception = exceptions.TooManyRequests("no", details=list(details))
    return error


def as_grpc_says(*details: Detail) -> Exception:
    from google.api_core import exceptions
    from google.protobuf import json_format
    from google.rpc import error_details_pb2

    messages = []
    for detail in details:
        fields = {name: value for name, value in detail.items() if name != "@type"}
        kind = getattr(error_details_pb2, detail["@type"].rpartition(".")[2])
        messages.append(json_format.ParseDict(fields, kind()))
    error: Exception = exceptions.ResourceExhausted("no", details=messages)
    return error


def shapes() -> Iterator[Callable[..., Exception]]:
    if HAS_GENAI:
        yield as_genai_says
    if HAS_GENERATIVEAI:
        yield from (as_rest_says, as_grpc_says)


SHAPES = list(shapes())
