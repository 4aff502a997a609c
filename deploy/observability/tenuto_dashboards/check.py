"""Whether the expressions of a board are PromQL and name only series and labels that a server exports."""

from collections.abc import Iterator

import promql_parser

from .exported import exported, known_values
from .expressions import Board, defaults, queries, selectors, substitute


def problems(name: str, board: Board) -> Iterator[str]:
    """One sentence for each thing that is wrong."""
    for title, expr in expressions(board):
        try:
            promql = substitute(expr, defaults(board), interval=60, seconds=3600)
            found = list(unknown(promql))
        except KeyError as error:
            found = [f"names the variable {error}, which the board does not have"]
        except ValueError as error:
            found = [f"is no PromQL: {error}"]
        yield from (f"{name}, {title!r}: {problem}: {expr}" for problem in found)


def expressions(board: Board) -> Iterator[tuple[str, str]]:
    """(title of the panel or label of the variable, expression) of all that the board asks."""
    for query in queries(board):
        yield query.panel, query.expr
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            arguments = variable["query"].removeprefix("label_values(").removesuffix(")")
            selector, _, label = arguments.rpartition(", ")
            yield variable["label"], f"group by ({label}) ({selector})"


def unknown(promql: str) -> Iterator[str]:
    """What an expression names that is not exported.

    A label that an aggregation or a match names must be one of a series in it.
    """
    known: set[str] = set()
    for selector in selectors(promql):
        labels = exported().get(str(selector.name))
        if labels is None:
            yield f"{selector.name} is not exported"
            continue
        known |= labels
        for matcher in selector.matchers.matchers:
            if matcher.name not in labels:
                yield f"{selector.name} has no label {matcher.name}"
            values = known_values().get(str(selector.name), {}).get(matcher.name, {})
            for value in set(matcher.value.split("|")) - values.keys() if values else ():
                yield f"{selector.name} has no {matcher.name} {value!r}"
    for label in grouped(promql):
        if label not in known:
            yield f"no series has the label {label}"


def grouped(promql: str) -> set[str]:
    """The labels after `by`, `on` and `group_left`."""
    labels: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            labels.update(node.modifier.labels)
        if isinstance(node, promql_parser.BinaryExpr) and node.modifier:
            if node.modifier.matching:
                labels.update(node.modifier.matching.labels)
            labels.update(node.modifier.group_labels or ())

    promql_parser.walk(promql_parser.parse(promql), visit)
    return labels
