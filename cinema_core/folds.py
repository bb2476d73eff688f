"""The split ledger: which patients are held out together, decided once and forever.

Each fold of patients is left out in turn to measure what a training gains; the model itself learns from all. A patient
who changed folds from one round to the next would make two rounds' figures differ for no other reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from cinema_core.disk import write_whole
from cinema_core.errors import InputError

N_FOLDS: Final = 3
"""Usual number of folds; each costs a training of its own."""


class _File(BaseModel, extra="forbid"):
    folds: dict[str, int] = Field(default_factory=dict)


def next_fold(ledger: Mapping[str, int], n_folds: int = N_FOLDS) -> int:
    """Fold for a new patient: the one with the fewest, of those the first."""
    sizes = Counter(ledger.values())
    return min(range(n_folds), key=lambda fold: (sizes[fold], fold))


def extended(ledger: Mapping[str, int], patients: Iterable[str], n_folds: int, seed: int) -> dict[str, int]:
    """Ledger with all these patients; who is in it keeps the fold.

    Parameters
    ----------
    ledger
        Fold by patient, as decided so far.
    patients
        Their order does not matter: newcomers are taken in the order of a hash of seed and name.

    Returns
    -------
    The ledger's entries first, in their order.
    """
    longer = dict(ledger)
    newcomers = sorted(set(patients) - set(ledger), key=lambda patient: _hash(f"{seed} {patient}"))
    for patient in newcomers:
        longer[patient] = next_fold(longer, n_folds)
    return longer


def digests_of(ledger: Mapping[str, int]) -> dict[str, int]:
    """Fold by a short hash of the patient, for a card that may leave this computer."""
    return {_hash(patient)[:12]: fold for patient, fold in sorted(ledger.items())}


def read_ledger(path: Path) -> dict[str, int]:
    """Ledger of a file ``{"folds": {PATIENT: FOLD}}``; empty if there is none.

    Raises
    ------
    InputError
        If it cannot be read, or is something else.
    """
    if not path.exists():
        return {}
    try:
        folds = _File.model_validate_json(path.read_bytes()).folds
    except (OSError, ValidationError) as error:
        raise InputError(
            f"The split ledger {path} cannot be read ({type(error).__name__}). Give another file with --ledger, or "
            "move this one away; a new one is begun."
        ) from error
    if any(fold < 0 for fold in folds.values()):
        raise InputError(f"The split ledger {path} names a fold below 0. Folds count from 0.")
    return folds


def write_ledger(path: Path, ledger: Mapping[str, int]) -> None:
    """Write a ledger whole or not at all.

    Raises
    ------
    StorageError
        If it cannot be written; the older one is kept.
    """
    text = json.dumps({"folds": dict(ledger)}, indent=1, ensure_ascii=False) + "\n"
    write_whole(path, text.encode("utf-8"), "The split ledger")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
