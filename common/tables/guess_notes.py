"""What the reader of a guessed schema should know."""

from common.errors import UserError
from common.tables.cells import quoted
from common.tables.inference import NAMED_PRICE
from common.tables.row_checks import settle
from common.tables.schema import Schema
from common.tables.table import Table


def notes(table: Table, schema: Schema) -> list[str]:
    """What the reader of a guess should know, a line each.

    Args:
      table: as read.
      schema: guessed of it.
    """
    lines = []
    if table.rejected:
        first, total = table.rejected[0], len(table.line) + len(table.rejected)
        lines.append(
            f"{len(table.rejected)} of {total} rows can't be read; the first is line"
            f" {first.line}: {first.reason}"
        )
    if schema.target is None:
        lines.append(f"the schema {explain_no_target(schema)}")
    try:
        settle(table, schema)
    except UserError as error:
        lines.append(str(error))
    return lines


def explain_no_target(schema: Schema) -> str:
    """Says of a schema without target what to do, and what may have been meant."""
    meant = [
        f"; column {quoted(name)} is {reason}"
        for name, reason in schema.ignored
        if reason.startswith(NAMED_PRICE)
    ]
    return (
        "names no target; set target.column to the column of prices"
        f"{''.join(meant[:1])}"
    )
