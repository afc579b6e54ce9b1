"""The CPU times of the I/O models as bars, a panel a load. Needs matplotlib."""

import matplotlib

matplotlib.use("svg")
# Text stays text; and the same figures give the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "io-models", "font.family": "sans-serif"})

from matplotlib import pyplot  # noqa: E402: it reads the settings above

# Greys and colours of middle lightness, on no ground: readable on white and on black.
INK = "#808080"
COLOURS = {"blocking": "#c2703d", "non-blocking": "#b8902a", "select": "#4b8fcc", "poll": "#4b8fcc", "epoll": "#4b8fcc",
           "onewait's reactor": "#4b8fcc", "signal-driven": "#9a78c8", "asynchronous": "#3f9e75"}  # fmt: skip


def draw(path, loads, models, results):
    figure, axes = pyplot.subplots(1, len(loads), figsize=(2.7 * len(loads) + 1.6, 3.6), sharey=True, squeeze=False)
    for axis, load in zip(axes[0], loads):
        row = [r for r in results if r.load is load]
        values = [r.median("cpu_us") or 0 for r in row]
        low_high = [r.extremes if r.runs else (0, 0) for r in row]
        errors = [[v - low for v, (low, _) in zip(values, low_high)], [high - v for v, (_, high) in zip(values, low_high)]]
        colours = [COLOURS[r.model.name.split(",")[0]] for r in row]
        axis.barh(range(len(row)), values, xerr=errors, color=colours, ecolor=INK, height=0.7)
        widest = max(max(high for _, high in low_high), 1e-9)
        for place, (result, (_, high)) in enumerate(zip(row, low_high)):
            text = f"{result.median('cpu_us'):.3g}" if result.runs else "none"
            axis.text(high + widest * 0.03, place, text, va="center", color=INK, fontsize=8)
        axis.set_xlim(0, widest * 1.25)
        axis.set_title(load.name.replace(", ", ",\n"), color=INK, fontsize=9)
        axis.set_xlabel("CPU µs a message", color=INK, fontsize=8)
        axis.tick_params(colors=INK, labelsize=8)
        for side, spine in axis.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
    axes[0][0].set_yticks(range(len(models)), [model.name for model in models])
    axes[0][0].invert_yaxis()
    figure.tight_layout()
    # Without a date, so that it changes only if the figures do.
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
