"""What the tests of the REST API share."""

from __future__ import annotations

import json
from typing import Any

from core.adapter.interface import Response

OCTETS = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}
HERE = "https://node.example:8000"


def opened(response: Response, status: int = 200) -> Any:
    assert response.status == status, response.body
    return json.loads(response.body)


def code(response: Response) -> tuple[int, int]:
    error = json.loads(response.body)["error"]
    assert set(error) == {"code", "title", "message"}
    return response.status, error["code"]
