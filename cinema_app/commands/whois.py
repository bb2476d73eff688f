"""``cinema whois``: whose study a pseudonym is, as far as this computer knows."""

from __future__ import annotations

from typing import Annotated

import typer


def whois(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Pseudonym, as in a report: study-1a2b3c4d.")],
    forget: Annotated[bool, typer.Option("--forget", help="Take the study out of the map of identities.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Tell whose study a pseudonym is; the map lies in a file of its own that no export contains.

    Example: cinema whois study-1a2b3c4d
    """
    from cinema_app.terminal import say, say_json, say_pairs
    from cinema_core.errors import InputError
    from cinema_core.io.identities import VARIABLE, Identities

    identities = Identities()
    if not identities.is_kept:
        raise InputError(f"No names are kept on this computer ({VARIABLE} is off).")
    # A report names a cine as well: study-1a2b3c4d.sax.
    pseudonym = study.partition(".")[0]
    identity = identities.find(pseudonym)
    if identity is None:
        raise InputError(f"{pseudonym} was never opened on this computer by this user. Check the pseudonym.")
    if forget:
        identities.forget(pseudonym)
        say(f"{pseudonym} is forgotten.")
        return
    original = identities.find(identity.copy_of) if identity.copy_of else None
    if as_json:
        say_json({"study": pseudonym, **identity.model_dump(), "original": original and original.model_dump()})
        return
    told = original or identity
    rows = [
        ("Study", pseudonym),
        ("De-identified copy of", identity.copy_of),
        ("Name", told.patient_name),
        ("Patient ID", told.patient_id),
        ("Born", told.birth_date),
        ("Examined", told.study_date),
        ("Opened from", told.path),
    ]
    say_pairs([(name, value) for name, value in rows if value])
