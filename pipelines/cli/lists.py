"""Commands that list what the program knows: features, patterns, scores, hypotheses, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import Context, app


@app.command()
def features(
    markdown: Annotated[bool, typer.Option("--markdown", help="the page of the documentation")] = False,
) -> None:
    """List what is measured: name, unit, definition, source."""
    from imaging import FEATURES, features_page

    if markdown:
        print(features_page(), end="")
        return
    for f in FEATURES:
        print(f"{f.name}  [{f.unit or '-'}]\n    {f.definition}\n    {f.source}")


@app.command()
def patterns(
    markdown: Annotated[bool, typer.Option("--markdown", help="the page of the documentation")] = False,
) -> None:
    """List the rules that name patterns, in the order in which they are tried."""
    from imaging import RULES, patterns_page

    if markdown:
        print(patterns_page(), end="")
        return
    levels = ("up to 1.5 mm", "1.5 to 3.5 mm", "above 3.5 mm")
    for rule in RULES:
        print(f"{rule.key}: {rule.looks_like}")
        for c in rule.conditions:
            bound = " ".join((c.bound.__doc__ or "").split()) if callable(c.bound) else f"{c.bound:g}"
            print(f"    {c.column} {c.sign} {bound}{' (or missing)' if c.or_missing else ''}")
        print(f"    slice spacing: {', '.join(levels[k] for k in rule.levels)}")
        print(f"    also looks like it: {rule.confounders}\n    {rule.source}")


@app.command()
def columns(
    markdown: Annotated[bool, typer.Option("--markdown", help="the page of the documentation")] = False,
) -> None:
    """List the columns of every table: name, unit, type, definition, source."""
    from ..schemas import SCHEMAS
    from ..writers.tables import columns_page

    if markdown:
        print(columns_page(), end="")
        return
    for table, schema in SCHEMAS.items():
        print(table)
        for c in schema.values():
            print(f"    {c.name}  [{c.unit or '-'}, {c.dtype}]  {c.definition}")


@app.command()
def scores(
    markdown: Annotated[bool, typer.Option("--markdown", help="the page of the documentation")] = False,
) -> None:
    """List the definitions of the calcium score: parameters by tube voltage, source."""
    from imaging import SCORES, scores_page

    if markdown:
        print(scores_page(), end="")
        return
    for s in SCORES:
        print(f"{s.name}: {s.definition}\n    {s.connectivity}-connected in the slice, {s.size_rule}")
        for kvp, limits in sorted(s.limits_hu.items()):
            own = f"; volume and mass from {s.volume_hu[kvp]:g} HU" if kvp in s.volume_hu else ""
            print(f"    {kvp:g} kV: weights 1/2/3/4 from {'/'.join(f'{v:g}' for v in limits)} HU{own}")
        print(f"    {s.source}")


@app.command()
def hypotheses(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="output folder of a run")] = None,
    context: Context = None,
    model: Annotated[Path | None, typer.Option("--model", help="a trained model in place of the rules")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="write the table there: .csv or .parquet")] = None,
) -> None:
    """List the knowledge base; with DIR, rank the hypotheses of a run again, with --context."""
    from imaging import NOTICE, entities, listing
    from imaging import Context as Known

    if folder is None:
        print(NOTICE)
        for entry in entities():
            print("\n".join(listing(entry)))
        return
    from ..batch import load_study
    from ..hypotheses import lines, rank_study, write_hypotheses
    from ..training import open_model

    table = rank_study(load_study(folder), Known.load(context or ()), open_model(model) if model else None)
    print("\n".join(lines(table)))
    if out is not None:
        write_hypotheses(table, out)


@app.command()
def doctor() -> None:
    """Show versions, and which transfer syntaxes can be decoded here."""
    from imaging import decoders

    from ..provenance import versions

    for name, number in versions().items():
        print(f"{name:14} {number}")
    print("\ntransfer syntaxes")
    rows = decoders()
    for row in rows:
        print(f"  {'yes' if row['available'] else 'NO ':4} {row['name']}  ({row['uid']}; {row['codec']})")
    raise typer.Exit(0 if all(r["available"] for r in rows) else 1)
