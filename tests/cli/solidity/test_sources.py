"""Imports are found and resolved as solc does it, and none leads outside the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.solidity import sources as sources_module
from cli.solidity.sources import SourceRefused, collect_sources, find_imports, parse_remapping, resolve_import
from core.errors import LimitExceeded


def plant(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_each_form_of_import_is_found() -> None:
    source = """
    import "a.sol"; import './b.sol' as b; import * as c from "c.sol";
    import {D as E, F} from "d.sol"; import/* "x.sol" */"e.sol";
    """
    assert find_imports(source) == ["a.sol", "./b.sol", "c.sol", "d.sol", "e.sol"]


def test_comments_strings_and_names_are_no_imports() -> None:
    source = """
    // import "a.sol";
    /* import "b.sol"; */
    contract C { string s = "import 'c.sol'; \\" import"; uint $import; uint imports; string t = "d.sol"; }
    /* import "e.sol";
    """
    assert find_imports(source) == []


@pytest.mark.parametrize(
    ("import_path", "importer", "name"),
    [
        ("./B.sol", "src/A.sol", "src/B.sol"),
        ("../lib/B.sol", "src/A.sol", "lib/B.sol"),
        ("./a/.././B.sol", "src/A.sol", "src/B.sol"),
        ("lib/B.sol", "src/A.sol", "lib/B.sol"),
        ("@oz/token/B.sol", "src/A.sol", "lib/oz/token/B.sol"),
        ("@oz/token/B.sol", "old/A.sol", "lib/oz3/token/B.sol"),
        ("./B.sol", "@x/A.sol", "@x/B.sol"),
    ],
)
def test_import_resolution(import_path: str, importer: str, name: str) -> None:
    rules = [parse_remapping(line) for line in ("@oz/=lib/oz/", "@=elsewhere/@", "old/:@oz/=lib/oz3/", "@x/=@x/")]
    assert resolve_import(import_path, importer, rules) == name


@pytest.mark.parametrize(
    "import_path", ["../../../../etc/passwd", "../B.sol", "/etc/B.sol", "lib/../../B.sol", "https://host/B.sol"]
)
def test_import_that_leaves_the_project_is_refused(import_path: str) -> None:
    with pytest.raises(SourceRefused, match="leaves the project") as refused:
        resolve_import(import_path, "A.sol", [])
    assert refused.value.import_path == import_path


def test_remapping_that_leaves_the_project_is_refused() -> None:
    with pytest.raises(SourceRefused, match="leaves the project"):
        resolve_import("x/B.sol", "A.sol", [parse_remapping("x/=../other/")])


def test_import_of_another_kind_of_file_is_refused() -> None:
    with pytest.raises(SourceRefused, match=r"not a \.sol file"):
        resolve_import("./.env", "src/A.sol", [])


@pytest.mark.parametrize("line", ["", "abc", "=lib/", "ctx:=lib/"])
def test_remapping_that_does_not_parse_is_refused(line: str) -> None:
    with pytest.raises(SourceRefused, match="does not parse"):
        parse_remapping(line)


def test_sources_are_collected_from_project_modules_and_remappings(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "node_modules/@up/X.sol": 'import "./Y.sol";',
            "node_modules/@up/Y.sol": "",
            "app/remappings.txt": "@lib/=lib/one/\n\n",
            "app/foundry.toml": '[profile.default]\nremappings = ["@two/=lib/two/"]\n',
            "app/lib/one/L.sol": "",
            "app/lib/two/M.sol": 'import "src/A.sol";',
            "app/src/A.sol": 'import "./B.sol"; import "@lib/L.sol"; import "@up/X.sol";',
            "app/src/B.sol": 'import "./A.sol"; import "@two/M.sol";',
        },
    )
    found = collect_sources(tmp_path / "app/src/A.sol")
    assert found.main == "src/A.sol"
    assert sorted(found.contents) == [
        "@up/X.sol",
        "@up/Y.sol",
        "lib/one/L.sol",
        "lib/two/M.sol",
        "src/A.sol",
        "src/B.sol",
    ]


def test_root_and_remappings_given_go_first(tmp_path: Path) -> None:
    plant(tmp_path, {"p/package.json": "{}", "p/A.sol": 'import "x/B.sol";', "mine/B.sol": "// mine"})
    found = collect_sources(tmp_path / "p/A.sol", root=tmp_path, remappings=["x/=mine/"])
    assert found.main == "p/A.sol"
    assert found.contents["mine/B.sol"] == "// mine"


def test_source_outside_the_given_root_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, {"A.sol": "", "p/B.sol": ""})
    with pytest.raises(SourceRefused, match="outside the project"):
        collect_sources(tmp_path / "A.sol", root=tmp_path / "p")


def test_missing_import_is_refused_and_names_the_places(tmp_path: Path) -> None:
    plant(tmp_path, {"package.json": "{}", "A.sol": 'import "@oz/B.sol";', "node_modules/.keep": ""})
    with pytest.raises(SourceRefused, match="node_modules") as refused:
        collect_sources(tmp_path / "A.sol")
    assert (refused.value.importer, refused.value.import_path) == ("A.sol", "@oz/B.sol")


def test_link_inside_the_project_is_followed_and_one_that_leaves_is_refused(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {"secret/S.sol": "", "p/package.json": "{}", "p/real/R.sol": "", "p/A.sol": 'import "./l/R.sol";'},
    )
    (tmp_path / "p/l").symlink_to(tmp_path / "p/real")
    assert "l/R.sol" in collect_sources(tmp_path / "p/A.sol").contents
    (tmp_path / "p/R.sol").symlink_to(tmp_path / "secret/S.sol")
    plant(tmp_path, {"p/A.sol": 'import "./R.sol";'})
    with pytest.raises(SourceRefused, match="leads outside the project"):
        collect_sources(tmp_path / "p/A.sol")


def test_bounds_on_number_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, {"package.json": "{}", "A.sol": 'import "./B.sol";', "B.sol": "//"})
    monkeypatch.setattr(sources_module, "SOURCES_MAX", 2)
    monkeypatch.setattr(sources_module, "SOURCE_BYTES_MAX", 19)
    assert len(collect_sources(tmp_path / "A.sol").contents) == 2
    monkeypatch.setattr(sources_module, "SOURCE_BYTES_MAX", 18)
    with pytest.raises(LimitExceeded, match="larger than 18 bytes"):
        collect_sources(tmp_path / "A.sol")
    monkeypatch.setattr(sources_module, "SOURCE_BYTES_MAX", 19)
    monkeypatch.setattr(sources_module, "SOURCES_MAX", 1)
    with pytest.raises(LimitExceeded, match="more than 1 sources"):
        collect_sources(tmp_path / "A.sol")


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no such file"),
        ({"A.sol": "\udcff"}, "not UTF-8"),
        ({"A.sol": "", "foundry.toml": "["}, "remappings .* cannot be read"),
        ({"A.sol": "", "foundry.toml": "profile = 3"}, "remappings .* cannot be read"),
        ({"A.sol": "", "remappings.txt": "nonsense"}, "does not parse"),
    ],
)
def test_unreadable_input_is_refused(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    (tmp_path / "package.json").write_text("{}")
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceRefused, match=complaint):
        collect_sources(tmp_path / "A.sol")
