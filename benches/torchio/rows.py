"""Results as rows of a table."""

from dataclasses import dataclass, field
from statistics import median

HIGHER, LOWER = "higher", "lower"


@dataclass
class Row:
    """One quantity, measured several times in both programs, alternately."""

    group: str
    name: str
    unit: str
    better: str
    runner: list = field(default_factory=list)
    torchio: list = field(default_factory=list)
    note: str = ""

    def ratios(self):
        """Returns by which factor runner is better, for each pair of measurements."""
        pairs = zip(self.runner, self.torchio)
        return [ours / theirs if self.better == HIGHER else theirs / ours for ours, theirs in pairs]

    def cells(self):
        ours = spread(self.runner) or "not available"
        return [f"{self.name} [{self.unit}]", ours, spread(self.torchio), spread(self.ratios())]

    def as_json(self):
        return {**vars(self), "ratios": self.ratios()}


def number(value):
    """Formats a number with three significant digits, or all digits before the decimal point."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def spread(values):
    """Formats the median and, if there are several values, the range."""
    if not values:
        return ""
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def markdown(rows):
    """Formats a heading and a table for each group, with the notes of its rows."""
    sections = []
    for group in dict.fromkeys(row.group for row in rows):
        members = [row for row in rows if row.group == group]
        notes = dict.fromkeys(f"\n{row.note}" for row in members if row.note)
        sections.append("\n".join([f"## {group}\n", table(members), *notes]))
    return "\n\n".join(sections)


def table(rows):
    """Formats a Markdown table with aligned columns."""
    head = ["quantity [unit]", "runner", "TorchIO", "times better"]
    lines = [head, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths)] for line in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)
