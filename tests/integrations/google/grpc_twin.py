"""The local Google AI server over gRPC, as google-generativeai speaks it by default."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any

import grpc
from google.ai import generativelanguage_v1beta as glm
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from sharedbreaker.demo.google_ai_server import Behaviour, Fault
from sharedbreaker.demo.google_ai_server.answers import Route, answer
from sharedbreaker.demo.google_ai_server.replies import STATUS_NAMES, quota_id

LONGEST_HANG = 30.0
SERVICE = "google.ai.generativelanguage.v1beta.GenerativeService"
PREDICTION = "google.ai.generativelanguage.v1beta.PredictionService"


class GrpcTwin:
    """Answers as the REST server does, and misbehaves as one ``Behaviour`` for all calls says."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.requests = 0
        self._threads = ThreadPoolExecutor(8)
        self._server = grpc.server(self._threads)
        for service, methods in (
            (
                SERVICE,
                {
                    "GenerateContent": (glm.GenerateContentRequest, False),
                    "StreamGenerateContent": (glm.GenerateContentRequest, True),
                },
            ),
            (PREDICTION, {"Predict": (glm.PredictRequest, False)}),
        ):
            handlers = {name: self._handler(*method) for name, method in methods.items()}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._wire = _Wire(self._server.add_insecure_port("127.0.0.1:0"))

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._wire.port}"

    def __enter__(self) -> GrpcTwin:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wire.close()
        self._server.stop(None).wait()
        self._threads.shutdown(wait=False)

    def _handler(self, request: Any, streams: bool) -> Any:
        make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler

        def unary(asked: Any, context: Any) -> bytes:
            return next(
                self._answers(
                    asked, "predict" if request is glm.PredictRequest else "generateContent", context
                )
            )

        def stream(asked: Any, context: Any) -> Iterator[bytes]:
            yield from self._answers(asked, "streamGenerateContent", context)

        return make(
            stream if streams else unary,
            request_deserializer=request.deserialize,
            response_serializer=bytes,
        )

    def _answers(self, asked: Any, verb: str, context: Any) -> Iterator[bytes]:
        self.requests += 1
        behaviour = self.behaviour
        if behaviour.status != 200:
            context.abort_with_status(_status(behaviour.status, behaviour))
        if behaviour.fault is Fault.HANG:
            left = threading.Event()
            context.add_callback(left.set)
            left.wait(LONGEST_HANG)
        if behaviour.fault is Fault.CUT:
            self._wire.reset()
            return
        if behaviour.fault is Fault.BROKEN_JSON:
            yield b"\xff\xff\xff"
            return
        route = Route(asked.model.removeprefix("models/"), verb, sse=False)
        payload = json.loads(type(asked).to_json(asked))
        documents = json.loads(answer(route, payload, behaviour.content).body)
        kind = glm.PredictResponse if verb == "predict" else glm.GenerateContentResponse
        for number, document in enumerate(documents if isinstance(documents, list) else [documents]):
            if number == 1 and behaviour.fault is Fault.ERROR_MID_STREAM:
                context.abort_with_status(_status(503, behaviour))
            if number == 1 and behaviour.fault is Fault.RESET_MID_ANSWER:
                self._wire.reset()
            yield kind.serialize(kind.from_json(json.dumps(document)))


def _status(status: int, behaviour: Behaviour) -> Any:
    code = grpc.StatusCode[STATUS_NAMES.get(status, "UNKNOWN")]
    details: list[Any] = []
    if behaviour.quota is not None:
        failure = error_details_pb2.QuotaFailure()
        failure.violations.add(quota_id=quota_id(behaviour.quota))
        details.append(failure)
    if behaviour.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(behaviour.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = [any_pb2.Any() for _ in details]
    for box, detail in zip(packed, details, strict=True):
        box.Pack(detail)
    said = status_pb2.Status(code=code.value[0], message="told to", details=packed)
    return rpc_status.to_status(said)


class _Wire:
    """What lies between client and server, and can be cut."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        for client in self._clients:
            with suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.shutdown(socket.SHUT_RD)
                client.close()
        self._clients.clear()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._clients.append(client)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_forward, args=(source, sink), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
