"""Runs in CCF's environment: judges snapshot files with ccf.ledger.Snapshot.

Input: a list of paths. Output: per file {"error": null or what was raised, "seqno", "tables": {name: number of rows},
"private_bytes"}; and at last what ccf.ledger.latest_snapshot says of the first one's directory.
"""

import json
import os
import sys

from ccf import ledger as ccf_ledger


def judge(path: str) -> dict[str, object]:
    try:
        with ccf_ledger.Snapshot(path) as snapshot:
            domain = snapshot.get_public_domain()
            return {
                "error": None,
                "seqno": domain.get_seqno(),
                "tables": {name: len(rows) for name, rows in domain.get_tables().items()},
                "private_bytes": snapshot.get_private_domain_size(),
            }
    except Exception as raised:  # noqa: BLE001 - whatever it raises is its verdict
        return {"error": f"{type(raised).__name__}: {raised}"}


paths = json.load(sys.stdin)
latest = ccf_ledger.latest_snapshot(os.path.dirname(paths[0]))
json.dump([*map(judge, paths), latest], sys.stdout)
