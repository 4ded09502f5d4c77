"""The geometry of charts: plain numbers for the SVG in charts.html.j2.

A chart is 340 units wide, so that one unit is a pixel on a phone. All y grow downwards.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH = 340.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    """A value with its interval, as places on the x axis, on the row at `y`; `kind` is its colour's name."""

    kind: str
    name: str
    text: str
    y: float
    x: float
    low: float
    high: float


@dataclass(frozen=True)
class Column:
    """A column that stands on the x axis."""

    kind: str
    name: str
    text: str
    x: float
    width: float
    top: float


@dataclass(frozen=True)
class Line:
    """A curve: `points` as SVG writes them, `text` its last value, at (x, y)."""

    kind: str
    name: str
    text: str
    points: str
    x: float
    y: float


@dataclass(frozen=True)
class Chart:
    """A chart with its titles; `described` says in words what it shows. It is drawn in left..right, top..bottom."""

    title: str
    described: str
    x_label: str
    y_label: str
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick] = ()
    dots: Sequence[Dot] = ()
    columns: Sequence[Column] = ()
    lines: Sequence[Line] = ()
    width: float = WIDTH

    @property
    def height(self) -> float:
        """The whole chart's, with room for the labels of the x axis."""
        return self.bottom + 40


def number(value: float, digits: int = 6) -> str:
    """A number on an axis, with a true minus and commas."""
    return f"{value:,.{digits}g}".replace("-", "−")


def nice(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover [low, high]: at most `most` + 1 of them, a power of ten times 1, 2, 2.5 or 5 apart."""
    if low == high:
        high = low + (abs(low) or 1.0)
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    steps = [power * factor for factor in (1, 2, 2.5, 5, 10, 20)]
    step = next(step for step in steps if math.ceil(high / step - 1e-9) - math.floor(low / step + 1e-9) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def intervals(title: str, rows: Sequence[tuple[str, str, float, float, float]], most: float) -> Chart:
    """Dots with intervals on an axis of per cent that reaches `most`; rows of (kind, name, value, low, high), shares."""
    ticks = nice(0.0, max(0.1, most))
    left, right, top, step = 56.0, WIDTH - 16, 8.0, 36.0
    x = scale(0.0, ticks[-1], left, right)
    dots = [
        Dot(kind, name, f"{100 * value:.1f}", top + step * (row + 0.6), x(value), x(low), x(high))
        for row, (kind, name, value, low, high) in enumerate(rows)
    ]
    said = [f"{name} {100 * v:.1f}%, interval {100 * low:.1f} to {100 * high:.1f}%" for _, name, v, low, high in rows]
    return Chart(
        title=title,
        described="; ".join(said),
        x_label="execution accuracy (%)",
        y_label="",
        left=left,
        right=right,
        top=top,
        bottom=top + step * len(rows),
        x_ticks=[Tick(x(tick), number(100 * tick)) for tick in ticks],
        dots=dots,
    )


def columns(title: str, groups: Sequence[str], rows: Sequence[tuple[str, str, Sequence[float | None]]]) -> Chart:
    """Grouped columns on an axis of 0 to 100%; rows of (kind, name, a share for each group or None)."""
    left, right, top, bottom = 34.0, WIDTH - 6, 34.0, 200.0
    y = scale(0.0, 1.0, bottom, top)
    room = (right - left) / len(groups)
    wide = min(24.0, room * 0.84 / len(rows))
    drawn = [
        Column(
            kind,
            f"{name}, {groups[group]}",
            f"{100 * value:.0f}",
            round(left + room * (group + 0.5) + wide * (place - len(rows) / 2) + 1, 2),
            round(wide - 2, 2),
            y(value),
        )
        for place, (kind, name, values) in enumerate(rows)
        for group, value in enumerate(values)
        if value is not None
    ]
    return Chart(
        title=title,
        described="; ".join(f"{column.name} {column.text}%" for column in drawn),
        x_label="hardness of the gold query",
        y_label="execution accuracy (%)",
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=[Tick(round(left + room * (group + 0.5), 2), name) for group, name in enumerate(groups)],
        y_ticks=[Tick(y(tick), f"{100 * tick:g}") for tick in (0, 0.25, 0.5, 0.75, 1)],
        columns=drawn,
    )


def curves(title: str, y_label: str, rows: Sequence[tuple[str, str, Sequence[Point]]]) -> Chart:
    """Lines over training steps; rows of (kind, name, points), each with at least one point, all finite."""
    left, right, top, bottom = 44.0, WIDTH - 12, 34.0, 190.0
    every = [point for *_, points in rows for point in points]
    heights = [height for _, height in every]
    xs, ys = nice(0, max(step for step, _ in every), 4), nice(_floor(heights), max(heights), 4)
    x, y = scale(xs[0], xs[-1], left, right), scale(ys[0], ys[-1], bottom, top)
    lines = []
    for kind, name, points in rows:
        path = " ".join(f"{x(step):.1f},{y(height):.1f}" for step, height in _thin(points))
        lines.append(Line(kind, name, number(points[-1][1], 3), path, x(points[-1][0]), y(points[-1][1])))
    said = [f"{name} from {p[0][1]:.3g} at step {p[0][0]:g} to {p[-1][1]:.3g} at step {p[-1][0]:g}" for _, name, p in rows]
    return Chart(
        title=title,
        described="; ".join(said),
        x_label="step",
        y_label=y_label,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=[Tick(x(tick), number(tick)) for tick in xs],
        y_ticks=[Tick(y(tick), number(tick)) for tick in ys],
        lines=lines,
    )


def _floor(values: Sequence[float]) -> float:
    """Zero where the values come near it, so that a fall is not exaggerated; else their least."""
    return 0.0 if 0 <= min(values) < 0.5 * max(values) else min(values)


def _thin(points: Sequence[Point], most: int = 400) -> list[Point]:
    """At most `most` of the points, and the last: more than a screen can show only makes the file large."""
    stride = max(1, math.ceil(len(points) / most))
    return [*points[::stride], *([points[-1]] if (len(points) - 1) % stride else [])]


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The linear map of [low, high] to [start, end], to a hundredth."""
    factor = (end - start) / (high - low)
    return lambda value: round(start + (value - low) * factor, 2)
