"""Prepared cines to shards, a hundred studies each: ``python -m training.shards --cines DIR --out SHARDS``.

Pretraining reads them with ``data.shards=SHARDS`` in place of ``data.dir=DIR``, and learns the same. After a stop the
same command goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from cinema_core.errors import CinemaError, InputError
from cinema_core.model_config import ALL_VIEWS
from training.datasets.cines import files_by_study
from training.datasets.shards import PER_SHARD, write_shards


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shards", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cines", type=Path, required=True, help="folder of prepared cines, as data.dir takes it")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--studies", type=int, default=PER_SHARD, help=f"in a shard (default {PER_SHARD})")
    parser.add_argument("--unpack", action="store_true", help="store .nii.gz as .nii: larger, quicker to read")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        if given.studies < 1:
            raise InputError("A shard holds 1 or more studies (--studies).")
        found = files_by_study(given.cines, ALL_VIEWS)
        n_shards = write_shards(found, given.out, per_shard=given.studies, unpack=given.unpack)
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{len(found)} studies are in {n_shards} shards. Pretrain with data.shards={given.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
