# SPDX-License-Identifier: LGPL-2.1-or-later
"""A helper's status socket that says what a test tells it."""
import copy
import json
import os
import socket
import threading
from typing import Any, List, Union

from support import scaled

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def example() -> Any:
    """The document that shows every property, for the caller to change."""
    path = os.path.join(TOP, "tests", "protocol", "status-example.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class StatusServer:
    """Each reader is sent the next of the documents, and the last one again and again: an object, or
    bytes. Then end of file, unless it is to hang."""

    def __init__(self, path: str, documents: List[Union[bytes, Any]], hang: bool = False):
        self.path = path
        self.readers = 0
        self._documents = [one if isinstance(one, bytes) else json.dumps(one).encode()
                           for one in copy.deepcopy(documents)]
        self._hang, self._held = hang, []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listener.bind(path)
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                reader, _ = self._listener.accept()
            except OSError:
                return
            document = self._documents[min(self.readers, len(self._documents) - 1)]
            self.readers += 1
            try:
                reader.sendall(document)
            except (BrokenPipeError, ConnectionResetError):
                pass
            if self._hang:
                self._held.append(reader)
            else:
                reader.close()

    def say(self, document: Union[bytes, Any]) -> None:
        """This, from now on."""
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._documents = [text]

    def close(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self._thread.join(scaled(5))
        for reader in self._held:
            reader.close()
        if os.path.exists(self.path):
            os.unlink(self.path)
