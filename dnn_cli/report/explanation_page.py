"""The picture of an explanation, light or dark, and the self-contained page around it."""

import base64
import hashlib
import io
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dnn_cli.files import write_output
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from dnn_cli.explanation.explain import Explanation


DPI = 110
MOST_BARS = 12  # classes whose probabilities there is room for
BRIGHT = 0.995  # the share of pixels that are not clipped in a map's colours
OUTLINE = 0.4  # the brightness that a digit's outline follows


class Theme(NamedTuple):
    """Colours that also colour-blind people tell apart: of what speaks against and for, and of paper and ink."""

    paper: str
    ink: str
    faint: str
    against: str
    for_: str


LIGHT = Theme("#ffffff", "#1f2329", "#5e6673", "#0057a8", "#c84600")
DARK = Theme("#14171b", "#e4e7eb", "#9aa3af", "#56b4e9", "#ff9a5c")
MAPS = {
    "integrated_gradients": "integrated gradients\nwhat each pixel's ink adds\nto the logit",
    "saliency": "saliency (gradient)\nwhat more ink there\nwould add",
    "occlusion": "occlusion\nwhat is lost where\nthe ink is covered",
}
WORDS = (
    "In each map, orange pixels speak for it and blue ones against it; the maps of one column have one scale, and the "
    "line is the outline of the image. Integrated gradients go from a black image, which is MNIST's background, to "
    "this one, and add up to the change of the logit. Occlusion covers small patches in black, as a check: the "
    "agreement is the rank correlation, at most 1, of what a patch loses with the sum of a map under it."
)
STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1f2329; --faint: #5e6673; --line: #e3e6eb; }
@media screen and (prefers-color-scheme: dark) {
  :root { --page: #14171b; --ink: #e4e7eb; --faint: #9aa3af; --line: #2b3038; }
}
body { margin: 0 auto; padding: 2rem 1.25rem; max-width: 70rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; } p { max-width: 48rem; } .faint { color: var(--faint); overflow-wrap: anywhere; }
img { width: 100%; height: auto; } figure { margin: 1rem 0; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem 1rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; } th { font-weight: 500; } div { overflow-x: auto; }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}"><link rel="icon" href="data:,">
<title>{title}</title><style>{style}</style></head><body>
<h1>{title}</h1><p class="faint">{subtitle}</p>
<figure><picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">
<img src="{light}" alt="{alt}">
</picture></figure>
<p>{words}</p>
<div><table><tr><th>logit</th><th>of a black image</th><th>of this image</th><th>integrated gradients add up to</th>
<th>missed</th><th>agreement with occlusion</th><th>that of saliency</th></tr>{maps}</table></div>
{units}</body></html>
"""
UNITS = """<p>What a hidden unit says for {chosen} rather than {other} is its activation times the difference of its
weights to the two; with the difference of the biases, all units' add up to the difference of the logits.</p>
<div><table><tr><th>hidden unit</th><th>activation</th><th>difference of weights</th><th>says</th></tr>
{rows}</table></div>
"""


def write(found: "Explanation") -> None:
    """Write the picture and the page of an explanation into its `files`; raises `DnnError` where that fails."""
    for file in found.files:
        write_output(file, page(found) if file.suffix.lower() == ".html" else png(found))


def png(found: "Explanation", theme: Theme = LIGHT, *, headed: bool = True) -> bytes:
    """The picture as a PNG, with its heading where it stands alone."""
    import matplotlib as mpl

    colours = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme.ink)
    colours |= {"axes.edgecolor": theme.faint, "axes.facecolor": theme.paper}
    with mpl.rc_context({**mpl.rcParamsDefault, **colours, "font.size": 9, "backend": "agg"}):
        figure = _figure(found, theme, headed=headed)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI, facecolor=theme.paper, metadata={"Software": None})
    return content.getvalue()


def page(found: "Explanation") -> str:
    """An HTML page that fetches nothing and runs nothing."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    maps: list[tuple[str, ...]] = []
    for name, each in zip(found.names, found.attributions, strict=True):
        ends = (each.baseline, each.value, each.integrated_gradients.sum())
        agreement = map(_agreement, each.agreement.values())
        maps.append((name, *(f"{value:.2f}" for value in ends), f"{each.residual:.2%}", *agreement))
    units: list[tuple[str, ...]] = [
        (str(unit.index), f"{unit.activation:.3f}", f"{unit.weight:+.3f}", f"{unit.contribution:+.3f}")
        for unit in found.units
    ]
    return PAGE.format(
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        title=escape(_title(found)),
        subtitle=escape(_subtitle(found)),
        style=STYLE,
        light=_uri(png(found, headed=False)),
        dark=_uri(png(found, DARK, headed=False)),
        alt=escape(f"{_title(found)} The image, its probabilities, nine maps of its pixels, and the weights of units."),
        words=escape(WORDS),
        maps=_rows(maps),
        units=UNITS.format(chosen=found.chosen, other=found.other, rows=_rows(units)) if units else "",
    )


def _figure(found: "Explanation", theme: Theme, *, headed: bool) -> Any:
    from matplotlib.figure import Figure

    has_units = bool(found.units)
    figure = Figure(figsize=(11, 10.3 if has_units else 8), layout="constrained")
    if headed:
        figure.suptitle(f"{_title(found)}\n", fontsize=15, fontweight="bold", x=0.01, ha="left")
        figure.text(0.012, 0.972 if has_units else 0.965, _subtitle(found), color=theme.faint, va="top")
    parts = figure.subfigures(2 if has_units else 1, 1, height_ratios=[8, 2.3][: 1 + has_units], squeeze=False)[:, 0]
    left, right = parts[0].subfigures(1, 2, width_ratios=[1, 2.5])
    for part in (*parts, left, right):
        part.set_facecolor("none")
    _draw_image(left, found, theme)
    _draw_maps(right, found, theme)
    if has_units:
        _draw_units(parts[1], found, theme)
    return figure


def _draw_image(part: Any, found: "Explanation", theme: Theme) -> None:
    above, below = part.subplots(2, 1, height_ratios=[1, 1.1])
    shown = found.image.clip(0, 1)
    is_colour = shown.ndim == 3 and shown.shape[-1] == 3
    above.imshow(shown if is_colour else _grey(shown), cmap="gray", vmin=0, vmax=1)
    above.set_title("the image, as the network sees it", loc="left", fontsize=9)
    above.set(xticks=[], yticks=[])
    first = np.sort(np.argsort(-found.probabilities, kind="stable")[:MOST_BARS])
    places = np.arange(len(first))
    colours = [
        theme.for_ if each == found.chosen else theme.against if each == found.other else theme.faint for each in first
    ]
    below.barh(places, found.probabilities[first], color=colours)
    for place, each in zip(places, first, strict=True):
        probability = found.probabilities[each]
        if probability >= 0.0005:
            below.text(probability + 0.02, place, f"{probability:.1%}", va="center", fontsize=8)
    below.set(yticks=places, yticklabels=[str(each) for each in first], xticks=[], xlim=(0, 1.3))
    below.invert_yaxis()
    below.spines[:].set_visible(False)
    below.tick_params(length=0)
    below.set_title("the probability of each class", loc="left", fontsize=9)


def _draw_maps(part: Any, found: "Explanation", theme: Theme) -> None:
    grid = part.subplots(len(found.names), len(MAPS), squeeze=False)
    for column, (kind, words) in enumerate(MAPS.items()):
        maps = [getattr(each, kind) for each in found.attributions]
        scale = _scale(maps)
        for row, (name, each) in enumerate(zip(found.names, found.attributions, strict=True)):
            axes = grid[row, column]
            drawn = _draw_map(axes, maps[row], scale, found, theme)
            if row == 0:
                axes.set_title(words, fontsize=9)
            if column == 0:
                axes.set_ylabel(f"for {name}", fontsize=11, fontweight="bold")
            if kind in each.agreement:
                axes.set_xlabel(f"agrees with occlusion: {_agreement(each.agreement[kind])}", fontsize=8)
        bar = part.colorbar(
            drawn, ax=list(grid[:, column]), location="bottom", shrink=0.8, aspect=25, pad=0.02, extend="both"
        )
        bar.set_ticks([-scale, 0, scale], labels=[f"−{scale:.2g}", "0", f"+{scale:.2g}"])
        bar.outline.set_visible(False)
        bar.set_label("against  ·  for", fontsize=8)


def _draw_units(part: Any, found: "Explanation", theme: Theme) -> None:
    part.suptitle(
        f"The hidden units that said most about {found.chosen} or {found.other}, and the ink that each one likes "
        "(orange) or dislikes (blue)",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    for axes, unit in zip(part.subplots(1, len(found.units), squeeze=False)[0], found.units, strict=True):
        scale = float(np.abs(unit.picture).max()) or 1.0
        _draw_map(axes, unit.picture, scale, found, theme)
        side = found.chosen if unit.contribution > 0 else found.other
        axes.set_title(f"unit {unit.index}", fontsize=8)
        axes.set_xlabel(f"{abs(unit.contribution):.2f} for {side}", fontsize=9)


def _draw_map(axes: Any, map_: Array, scale: float, found: "Explanation", theme: Theme) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("shades", [theme.against, theme.paper, theme.for_])
    drawn = axes.imshow(map_, cmap=shades, vmin=-scale, vmax=scale)
    grey = _grey(found.image)
    if grey.min() < OUTLINE < grey.max():
        axes.contour(grey, [OUTLINE], colors=theme.ink, linewidths=0.7, alpha=0.6)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_linewidth(0.5)
    return drawn


def _scale(maps: list[Array]) -> float:
    """What has the full colour: not the largest number, lest a few pixels make all others pale."""
    sizes = np.abs(maps)
    return float(np.quantile(sizes, BRIGHT)) or float(sizes.max()) or 1.0


def _grey(image: Array) -> Array:
    """(height, width): the mean of the channels, if there are any."""
    grey: Array = image.reshape(*image.shape[:2], -1).mean(axis=-1)
    return grey


def _title(found: "Explanation") -> str:
    first, second = (found.probabilities[each] for each in (found.chosen, found.other))
    return f"Why {found.chosen} ({first:.1%}), and not {found.other} ({second:.1%})?"


def _subtitle(found: "Explanation") -> str:
    return f"{found.title} · {found.subject.file}"


def _agreement(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _rows(rows: list[tuple[str, ...]]) -> str:
    cells = (
        f"<th>{escape(first)}</th>" + "".join(f"<td>{escape(each)}</td>" for each in rest) for first, *rest in rows
    )
    return "".join(f"<tr>{row}</tr>" for row in cells)


def _uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
