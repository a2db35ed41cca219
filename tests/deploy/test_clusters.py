"""The compose file and the Kubernetes manifest: their form, and that what they start is a command of ours.

They were not run: what is checked here is all that is known of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from cli.main import root

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KUBERNETES_VERSION = "1.33"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
SECRETS = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY|kind: Secret\b|password|(?<!Account)token:", re.IGNORECASE)


def kubernetes_documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / "organisation.yaml").read_text()))


def container() -> dict[str, Any]:
    [found] = [one for one in kubernetes_documents() if one["kind"] == "StatefulSet"]
    [only] = found["spec"]["template"]["spec"]["containers"]
    return dict(only)


def service() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text())["services"]["node"])


def parse(words: list[str]) -> click.Context:
    """Parse a command line against the real commands; raises click.UsageError."""
    command: click.Command = root
    while isinstance(command, click.Group):
        command = command.commands[words[0]]
        words = words[1:]
    # The files that it names are the container's.
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type = click.STRING
    return command.make_context("coco", list(words))


@pytest.fixture(autouse=True)
def own_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each parameter's type back after `parse`."""
    for command in root.commands["node"].commands.values():  # type: ignore[attr-defined]
        for parameter in command.params:
            monkeypatch.setattr(parameter, "type", parameter.type)


@pytest.mark.parametrize("number", range(5))
def test_each_kubernetes_document_fits_its_schema(number: int) -> None:
    kubernetes_validate.validate(kubernetes_documents()[number], KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize(
    ("path", "value"), [(("spec", "replicas"), "one"), (("spec", "servicename"), "x"), (("kind",), "StatefulPet")]
)
def test_a_manifest_that_is_wrong_is_noticed(path: tuple[str, ...], value: object) -> None:
    [document] = [one for one in kubernetes_documents() if one["kind"] == "StatefulSet"]
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises((kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError)):
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)


def test_the_kinds_are_all_there() -> None:
    documents = kubernetes_documents()
    assert [one["kind"] for one in documents] == [
        "Namespace", "Service", "Service", "StatefulSet", "PodDisruptionBudget",
    ]  # fmt: skip
    assert len({one["metadata"].get("namespace", one["metadata"]["name"]) for one in documents}) == 1


def test_a_node_of_a_cluster_is_not_doubled_and_keeps_its_disk() -> None:
    [found] = [one for one in kubernetes_documents() if one["kind"] == "StatefulSet"]
    assert found["spec"]["replicas"] == 1
    [claim] = found["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] in {mount["name"] for mount in container()["volumeMounts"]}


def test_probes_ask_for_health() -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container()[probe]["httpGet"] == {"path": "/node/health", "port": "https", "scheme": "HTTPS"}
    assert "/node/health" in service()["healthcheck"]["test"][-1]


def test_services_reach_the_ports() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    for document in kubernetes_documents():
        if document["kind"] == "Service":
            assert {port["targetPort"] for port in document["spec"]["ports"]} <= set(ports)
    arguments = container()["args"]
    assert ports["https"] == int(arguments[arguments.index("--port") + 1])
    assert ports["peers"] == int(arguments[arguments.index("--peer-port") + 1])


@pytest.mark.parametrize("words", [container()["args"], service()["command"]], ids=["kubernetes", "compose"])
def test_what_is_started_is_a_command(words: list[str]) -> None:
    found = parse(words).params
    assert found["or_start"]
    assert found["foreground"]
    assert found["address"] == "0.0.0.0"


def test_a_command_that_is_none_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse([*container()["args"], "--replicas", "3"])


FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())


@pytest.mark.parametrize("file", FILES, ids=[path.name for path in FILES])
def test_nothing_is_secret(file: Path) -> None:
    if file.suffix in (".yaml", ".example") or file.name.startswith("Dockerfile"):
        assert SECRETS.search(file.read_text()) is None


def test_the_compose_file_is_of_the_known_shape() -> None:
    document = yaml.safe_load(COMPOSE.read_text())
    assert set(document) <= {"name", "services", "volumes", "networks", "configs", "secrets"}
    assert set(service()) <= {
        "image", "command", "init", "restart", "stop_grace_period", "read_only", "cap_drop", "security_opt", "ulimits",
        "ports", "volumes", "tmpfs", "healthcheck",
    }  # fmt: skip
    named = {mount.partition(":")[0] for mount in service()["volumes"] if not mount.startswith(".")}
    assert named == set(document["volumes"])
    wanted = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    told = {line.partition("=")[0] for line in (COMPOSE.parent / ".env.example").read_text().splitlines()}
    assert wanted <= told


def test_the_node_is_kept_in() -> None:
    assert service()["cap_drop"] == container()["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert service()["read_only"]
    assert container()["securityContext"]["readOnlyRootFilesystem"]
    assert service()["ulimits"]["memlock"] == -1
