"""The geometry of charts: plain numbers for the SVG in charts.html.j2.

A chart is 340 units wide, so that one unit is a pixel on a phone. All y grow downwards. `color` is the name of a colour in
style.css: a model (base, sft, sense), a training (sft, weak, dpo) or a verdict (match, mismatch).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

WIDTH = 340.0

Point = tuple[float, float]  # a training step, and the value there


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis."""

    position: float
    label: str


@dataclass(frozen=True)
class IntervalDot:
    """A value as a dot at (x, y) on a line from `low` to `high`, all of them positions; `label` is the value as text."""

    color: str
    name: str
    label: str
    y: float
    x: float
    low: float
    high: float


@dataclass(frozen=True)
class BarColumn:
    """A column that stands on the x axis; `label` is its value as text."""

    color: str
    name: str
    label: str
    x: float
    width: float
    top: float


@dataclass(frozen=True)
class Curve:
    """A polyline: `points` as SVG writes them, `label` the last value as text, at (x, y)."""

    color: str
    name: str
    label: str
    points: str
    x: float
    y: float


@dataclass(frozen=True)
class Chart:
    """A chart, drawn inside left..right and top..bottom; `description` says in words what it shows, for screen readers."""

    title: str
    description: str
    x_label: str
    y_label: str
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick] = ()
    dots: Sequence[IntervalDot] = ()
    columns: Sequence[BarColumn] = ()
    curves: Sequence[Curve] = ()
    width: float = WIDTH

    @property
    def height(self) -> float:
        """Height of the whole chart, with room for the labels of the x axis."""
        return self.bottom + 40


def interval_chart(title: str, rows: Sequence[tuple[str, str, float, float, float]], highest: float) -> Chart:
    """Dots with intervals on an axis of per cent that starts at 0 and covers `highest`.

    Rows are (color, name, value, low, high); `highest` and the values are shares of 0..1.
    """
    ticks = round_ticks(0.0, max(0.1, highest))
    left, right, top, row_height = 56.0, WIDTH - 16, 8.0, 36.0
    x = linear_scale(0.0, ticks[-1], left, right)
    dots = [
        IntervalDot(color, name, f"{100 * value:.1f}", top + row_height * (row + 0.6), x(value), x(low), x(high))
        for row, (color, name, value, low, high) in enumerate(rows)
    ]
    sentences = [
        f"{name} {100 * value:.1f}%, interval {100 * low:.1f} to {100 * high:.1f}%" for _, name, value, low, high in rows
    ]
    return Chart(
        title=title,
        description="; ".join(sentences),
        x_label="execution accuracy (%)",
        y_label="",
        left=left,
        right=right,
        top=top,
        bottom=top + row_height * len(rows),
        x_ticks=[Tick(x(tick), axis_number(100 * tick)) for tick in ticks],
        dots=dots,
    )


def column_chart(title: str, groups: Sequence[str], rows: Sequence[tuple[str, str, Sequence[float | None]]]) -> Chart:
    """Grouped columns on an axis of 0 to 100%; rows are (color, name, a share of 0..1 or None for each group)."""
    left, right, top, bottom = 34.0, WIDTH - 6, 34.0, 200.0
    y = linear_scale(0.0, 1.0, bottom, top)
    group_width = (right - left) / len(groups)
    column_width = min(24.0, group_width * 0.84 / len(rows))
    columns = [
        BarColumn(
            color,
            f"{name}, {groups[group]}",
            f"{100 * value:.0f}",
            round(left + group_width * (group + 0.5) + column_width * (row - len(rows) / 2) + 1, 2),
            round(column_width - 2, 2),
            y(value),
        )
        for row, (color, name, values) in enumerate(rows)
        for group, value in enumerate(values)
        if value is not None
    ]
    return Chart(
        title=title,
        description="; ".join(f"{column.name} {column.label}%" for column in columns),
        x_label="hardness of the gold query",
        y_label="execution accuracy (%)",
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=[Tick(round(left + group_width * (group + 0.5), 2), name) for group, name in enumerate(groups)],
        y_ticks=[Tick(y(tick), f"{100 * tick:g}") for tick in (0, 0.25, 0.5, 0.75, 1)],
        columns=columns,
    )


def step_chart(title: str, y_label: str, rows: Sequence[tuple[str, str, Sequence[Point]]]) -> Chart:
    """Curves over training steps; rows are (color, name, points), each with at least one point, all finite."""
    left, right, top, bottom = 44.0, WIDTH - 12, 34.0, 190.0
    all_points = [point for *_, points in rows for point in points]
    values = [value for _, value in all_points]
    steps = round_ticks(0, max(step for step, _ in all_points), 4)
    heights = round_ticks(_axis_start(values), max(values), 4)
    x, y = linear_scale(steps[0], steps[-1], left, right), linear_scale(heights[0], heights[-1], bottom, top)
    curves = []
    for color, name, points in rows:
        path = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in _thin_out(points))
        last_step, last_value = points[-1]
        curves.append(Curve(color, name, axis_number(last_value, 3), path, x(last_step), y(last_value)))
    sentences = [f"{name} from {p[0][1]:.3g} at step {p[0][0]:g} to {p[-1][1]:.3g} at step {p[-1][0]:g}" for _, name, p in rows]
    return Chart(
        title=title,
        description="; ".join(sentences),
        x_label="step",
        y_label=y_label,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=[Tick(x(tick), axis_number(tick)) for tick in steps],
        y_ticks=[Tick(y(tick), axis_number(tick)) for tick in heights],
        curves=curves,
    )


# Title, label of the y axis, and the lines of each chart of the second step: colour, name, and key in the curve.
_SECOND_STEP_CHARTS: Sequence[tuple[str, str, Sequence[tuple[str, str, str]]]] = (
    (
        "DPO: log-probability of the answers",
        "log-probability (nats)",
        (("match", "chosen", "logps/chosen"), ("mismatch", "rejected", "logps/rejected")),
    ),
    ("DPO: chosen answers against the start", "change of log-probability (nats)", (("dpo", "chosen", "logps/chosen_change"),)),
    ("DPO: reward margin", "beta x nats", (("dpo", "margin", "rewards/margins"),)),
    ("DPO: reward accuracy", "share of the pairs", (("dpo", "accuracy", "rewards/accuracies"),)),
    (
        "DPO: length of the answers",
        "tokens",
        (("match", "chosen", "lengths/chosen"), ("mismatch", "rejected", "lengths/rejected")),
    ),
    ("GRPO: reward", "mean of the answers", (("dpo", "reward", "reward"),)),
    ("GRPO: answers that are learnt from", "share of the answers", (("dpo", "share", "completions/learnt_from"),)),
    ("GRPO: KL divergence from the start", "nats per token", (("dpo", "KL", "kl"),)),
    ("GRPO: length of the answers", "tokens", (("dpo", "mean", "completions/mean_length"),)),
)


def training_charts(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Chart]:
    """The loss of each training, and what became of the answers in the second step.

    `curves` maps a training (sft, weak, dpo) to the rows of its curve; a training without one has no chart.
    """
    second = curves.get("dpo", ())
    method = _method(second)
    titles = {"sft": "SFT, the student", "weak": "SFT, the weak model", "dpo": method}
    labels = {"DPO": "loss (DPO)", "GRPO": "loss (GRPO)"}
    charts = [
        step_chart(f"{title}: loss", labels.get(title, "loss (nats per token)"), [(name, "loss", points)])
        for name, title in titles.items()
        if (points := _finite_points(curves.get(name, ()), "loss"))
    ]
    for title, y_label, lines in _SECOND_STEP_CHARTS:
        rows = [(color, name, points) for color, name, key in lines if (points := _finite_points(second, key))]
        if rows:
            charts.append(step_chart(title, y_label, rows))
    return charts


def _method(rows: Sequence[Mapping[str, float]]) -> str:
    """The method of the second step, by what its curve has."""
    keys = {key for row in rows for key in row}
    if "reward" in keys:
        return "GRPO"
    return "RFT" if "mean_token_accuracy" in keys and "logps/chosen" not in keys else "DPO"


def _finite_points(rows: Sequence[Mapping[str, float]], key: str) -> list[Point]:
    return [(row["step"], row[key]) for row in rows if "step" in row and key in row and math.isfinite(row[key])]


def axis_number(value: float, digits: int = 6) -> str:
    """A number on an axis, with a true minus and commas."""
    return f"{value:,.{digits}g}".replace("-", "−")


def round_ticks(low: float, high: float, max_steps: int = 5) -> list[float]:
    """Round numbers that cover [low, high], at most `max_steps` + 1 of them, evenly spaced.

    They are a power of ten times 1, 2, 2.5 or 5 apart.
    """
    if low == high:
        high = low + (abs(low) or 1.0)
    power = 10.0 ** math.floor(math.log10((high - low) / max_steps))
    steps = [power * factor for factor in (1, 2, 2.5, 5, 10, 20)]
    step = next(step for step in steps if math.ceil(high / step - 1e-9) - math.floor(low / step + 1e-9) <= max_steps)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def linear_scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The linear map of [low, high] to [start, end], rounded to a hundredth."""
    factor = (end - start) / (high - low)
    return lambda value: round(start + (value - low) * factor, 2)


def _axis_start(values: Sequence[float]) -> float:
    """Zero where the values come near it, because an axis that starts higher exaggerates a fall; else the smallest value."""
    return 0.0 if 0 <= min(values) < 0.5 * max(values) else min(values)


def _thin_out(points: Sequence[Point], max_points: int = 400) -> list[Point]:
    """At most `max_points` of the points, evenly chosen, and the last one: a screen shows no more, and the file stays small."""
    stride = max(1, math.ceil(len(points) / max_points))
    return [*points[::stride], *([points[-1]] if (len(points) - 1) % stride else [])]
