"""Options that commands share: who the person is, and by which rules volumes are measured."""

from __future__ import annotations

from typing import Annotated

import typer

from cinema_core.rules import AreaRule, BsaFormula, EndSliceRule, PapillaryRule

Areas = Annotated[AreaRule, typer.Option("--areas", help="Areas by counted pixels, or within sub-pixel contours.")]
Ends = Annotated[
    EndSliceRule, typer.Option("--end-slices", help="Whether the outermost slices count in full or by half.")
]
Bsa = Annotated[BsaFormula, typer.Option("--bsa", case_sensitive=False, help="Formula of the body surface.")]
Papillary = Annotated[
    PapillaryRule, typer.Option("--papillary", help="Papillary muscles as cavity, or found by threshold as mass.")
]
PapillaryLevel = Annotated[
    float, typer.Option("--papillary-level", metavar="0..1", help="Threshold between wall (0) and blood (1).")
]
Sex = Annotated[str | None, typer.Option("--sex", metavar="F|M", help="For reference ranges; wins over the files.")]
Age = Annotated[str | None, typer.Option("--age", metavar="YEARS", help="Wins over the files.")]
Height = Annotated[str | None, typer.Option("--height", metavar="CM", help="Wins over the files.")]
Weight = Annotated[str | None, typer.Option("--weight", metavar="KG", help="Wins over the files.")]
