"""The report's charts, as SVG text to be put into the page.

Drawn with matplotlib, then freed of everything a page does not need: no XML prologue, no metadata,
no namespace addresses, so that the finished page holds no URL at all. Text stays text, in the
page's own font. Colours differ in lightness too, so that a grey print can be read.
"""

import io
import re
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ledgerkeep.evidence.report.model import ComplianceReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE = "#1c2b33", "#5d6d75", "#d5dcdf"
GOOD, BAD, TARGET = "#1f6f5c", "#b3372f", "#b3372f"
LEVELS = {
    "recorded": "#c9d2d6",
    "intact": "#9fbfd0",
    "restored": "#5f9bb8",
    "validated": "#2e7391",
    "proven": "#1f6f5c",
}
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ledgerkeep",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e8ecee",
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}
_GB, _MB = 1e9, 1e6


def draw_charts(report: ComplianceReport) -> dict[str, str]:
    """Name → SVG: `runs`, `objectives`, `proof`, `stored`."""
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        return {
            "runs": _svg("runs", _runs(report)),
            "objectives": _svg("objectives", _objectives(report)),
            "proof": _svg("proof", _proof(report)),
            "stored": _svg("stored", _stored(report)),
        }


def _runs(report: ComplianceReport) -> "Figure":
    figure, (axes,) = _figure(1, height=2.3)
    days: list[Any] = [date.fromisoformat(day.day) for day in report.days]
    passed = [day.succeeded for day in report.days]
    axes.bar(days, passed, width=0.72, color=GOOD, label="passed")
    failed = [day.failed for day in report.days]
    axes.bar(days, failed, width=0.72, bottom=passed, color=BAD, hatch="///", label="failed")
    _whole_period(axes, report)
    _whole_numbers(axes)
    axes.set_ylabel("runs per day")
    axes.margins(y=0.12)
    _legend(axes)
    return figure


def _objectives(report: ComplianceReport) -> "Figure":
    figure, (left, right) = _figure(2, height=2.6)
    _recovery_gaps(left, report)
    left.set_title("Recovery point: minutes at risk", loc="left", fontsize=9, color=MUTED)
    _recovery_times(right, report)
    right.set_title("Recovery time: minutes per restore", loc="left", fontsize=9, color=MUTED)
    return figure


def _recovery_gaps(axes: "Axes", report: ComplianceReport) -> None:
    """The worst of each day, since a month of WAL has thousands."""
    worst: dict[date, float] = {}
    for one in report.currency.coverage:
        day = one.at.date()
        worst[day] = max(worst.get(day, 0), one.gap_seconds / 60)
    target = report.currency.target_seconds
    minutes = None if target is None else target / 60
    _bars(axes, list(worst), list(worst.values()), minutes, width=0.72)
    _target_line(axes, minutes, max(worst.values(), default=0))
    _whole_numbers(axes)
    _whole_period(axes, report)


def _bars(
    axes: "Axes", places: list[Any], minutes: list[float], target: float | None, *, width: float
) -> None:
    over = [target is not None and value > target for value in minutes]
    bars = axes.bar(places, minutes, width=width, color=[BAD if late else GOOD for late in over])
    for bar, late in zip(bars, over, strict=True):
        bar.set_hatch("///" if late else "")


def _recovery_times(axes: "Axes", report: ComplianceReport) -> None:
    tests = [test for test in report.restore_tests if test.rto_seconds is not None]
    minutes = [(test.rto_seconds or 0) / 60 for test in tests]
    target = max((test.target.rto_seconds / 60 for test in tests if test.target), default=None)
    _bars(axes, list(range(len(tests))), minutes, target, width=0.5)
    for place, value in enumerate(minutes):
        axes.annotate(
            f"{value:.1f}", (place, value), (0, 3), textcoords="offset points", ha="center"
        )
    labels = [f"{test.started_at:%d %b}" for test in tests]
    axes.set_xticks(range(len(tests)), labels)
    axes.set_xlim(-0.8, max(len(tests), 3) - 0.2)
    _target_line(axes, target, max(minutes, default=0))


def _target_line(axes: "Axes", target: float | None, highest: float) -> None:
    top = max(highest, target or 0) or 1
    axes.set_ylim(0, top * 1.25)
    if target is None:
        return
    axes.axhline(target, color=TARGET, linewidth=1.2, linestyle=(0, (5, 3)))
    axes.annotate(
        f"objective {target:g} min",
        (1, target),
        (0, 4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        color=TARGET,
        fontsize=8,
    )


def _proof(report: ComplianceReport) -> "Figure":
    figure, (axes,) = _figure(1, height=2.3)
    for height, (level, color) in enumerate(LEVELS.items()):
        at = [row.at for row in report.base_backups if row.level == level]
        places = [height] * len(at)
        axes.scatter(at, places, s=60, color=color, edgecolors=INK, linewidths=0.4)  # type: ignore[arg-type]
    axes.set_yticks(range(len(LEVELS)), list(LEVELS))
    axes.set_ylim(-0.6, len(LEVELS) - 0.4)
    moments = [row.at for row in report.base_backups]
    _days_axis(axes, [*moments, report.period.since, report.made_at])
    return figure


def _stored(report: ComplianceReport) -> "Figure":
    figure, (axes,) = _figure(1, height=2.3)
    rows = [row for row in report.base_backups if row.parent_id is None]
    largest = max((row.raw_bytes or 0 for row in rows), default=0)
    unit, word = (_GB, "GB") if largest >= _GB else (_MB, "MB")
    at = [row.at for row in rows]
    for values, color, label, style in (
        ([(row.raw_bytes or 0) / unit for row in rows], MUTED, "in the database", "--"),
        ([(row.stored_bytes or 0) / unit for row in rows], GOOD, "stored, compressed", "-"),
    ):
        axes.plot(at, values, style, color=color, label=label, marker="o", ms=4, lw=1.4)  # type: ignore[arg-type]
    axes.set_ylabel(f"{word} per full backup")
    axes.set_ylim(bottom=0)
    _days_axis(axes, [*at, report.period.since, report.made_at])
    _legend(axes)
    return figure


def _figure(columns: int, *, height: float) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def _whole_period(axes: "Axes", report: ComplianceReport) -> None:
    _days_axis(axes, [report.period.since, report.period.until])


def _days_axis(axes: "Axes", moments: list[datetime]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter, date2num

    locator = AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    long = max(moments) - min(moments) > timedelta(days=2)
    axes.xaxis.set_major_formatter(
        DateFormatter("%d %b") if long else ConciseDateFormatter(locator)
    )
    first, last = (date2num(edge(moments)) for edge in (min, max))
    axes.set_xlim(first - 0.6, last + 0.6)


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _legend(axes: "Axes") -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0, fontsize=8)


def _svg(name: str, figure: "Figure") -> str:
    """The figure as an `svg` element; ids are made unique so that several fit one page."""
    drawn = io.StringIO()
    empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(drawn, format="svg", transparent=True, metadata=empty)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'id="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1).strip()
