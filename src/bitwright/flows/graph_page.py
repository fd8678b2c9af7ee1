"""A model's graph as one HTML page: a layered drawing in SVG over the table of layers.

The page holds everything that it shows and runs no script: it opens offline, prints, and may be
sent around. Each box of the drawing leads to its row of the table and back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any

from fast_sugiyama import from_edges

_WIDTH, _HEIGHT = 208, 46  # of a box
_COLUMN, _ROW = 236, 82  # from one box to the next
_MARGIN = 16
_CHARACTERS = 29  # of the box's small print

_FAMILIES = {
    "conv2d": "product", "conv_transpose2d": "product", "linear": "product", "matmul": "product",
    "max_pool2d": "pool", "avg_pool2d": "pool", "sum_pool2d": "pool", "reduce_mean": "pool",
    "reduce_sum": "pool", "reduce_max": "pool", "reduce_min": "pool",
    "reshape": "move", "transpose": "move", "concat": "move", "pad": "move", "slice": "move",
    "gather": "move", "expand": "move", "resize_nearest": "move",
}  # fmt: skip


@dataclass(frozen=True)
class _Box:
    title: str
    detail: str
    family: str
    link: str
    tooltip: str


def page(data: Mapping[str, Any], summary: str) -> str:
    """The page of an inspection's `data` (docs/inspect.md); `summary` is about the target."""
    layers, totals = data["layers"], data["totals"]
    problems = data["target"]["problems"] if data["target"] else []
    verdict = ""
    if summary:
        kind = "good" if data["target"]["supported"] else "bad"
        notes = "".join(f"<li>{escape(text)}</li>" for text in problems)
        verdict = f'<p class="verdict {kind}">{escape(summary)}</p><ul>{notes}</ul>'
    return _PAGE.substitute(
        title=escape(data["model"]),
        facts=f"{len(layers)} layers · {totals['macs']:,} MACs · {totals['parameters']:,} "
        f"parameters · {totals['bytes']:,} bytes moved a sample",
        verdict=verdict,
        drawing=_drawing(data),
        rows="\n".join(_row(number, layer) for number, layer in enumerate(layers)),
    )


def _drawing(data: Mapping[str, Any]) -> str:
    boxes: list[_Box] = []
    numbers: dict[int | str, int] = {}
    edges: list[tuple[int, int]] = []
    for item in data["inputs"]:
        numbers[item["name"]] = len(boxes)
        boxes.append(_Box(item["name"], _shape(item["shape"]), "border", "", "input"))
    for number, layer in enumerate(data["layers"]):
        numbers[number] = len(boxes)
        edges += [(numbers[source], len(boxes)) for source in layer["sources"]]
        boxes.append(_layer_box(number, layer))
    for item in data["outputs"]:
        if item["source"] is not None:
            edges.append((numbers[item["source"]], len(boxes)))
        boxes.append(_Box(item["name"], _shape(item["shape"]), "border", "", "output"))
    places, bends = _places(len(boxes), list(dict.fromkeys(edges)))
    width = max(x for x, _ in places) + _WIDTH / 2 + _MARGIN
    height = max(y for _, y in places) + _HEIGHT / 2 + _MARGIN
    lines = [_line([places[a], *bends.get((a, b), ()), places[b]]) for a, b in dict.fromkeys(edges)]
    drawn = [_drawn(box, place) for box, place in zip(boxes, places, strict=True)]
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'role="img" aria-label="graph of the model">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>\n'
        + "\n".join((*lines, *drawn))
        + "\n</svg>"
    )


_Point = tuple[float, float]


def _places(
    count: int, edges: Sequence[tuple[int, int]]
) -> tuple[list[_Point], dict[tuple[int, int], list[_Point]]]:
    """Centres of the boxes, and the points between which each long edge runs.

    Boxes without an edge stand to the left of the drawing.
    """
    joined = sorted({box for edge in edges for box in edge})
    # The layout numbers its bends from the count of boxes on, so the boxes are numbered densely.
    dense = {box: number for number, box in enumerate(joined)}
    places: dict[int, _Point] = {}
    bends: dict[tuple[int, int], list[_Point]] = {}
    left = _MARGIN + _WIDTH / 2
    for box in range(count):
        if box not in dense:
            places[box] = (left, _MARGIN + _HEIGHT / 2)
            left += _COLUMN
    if edges:
        layouts = from_edges(
            [(dense[a], dense[b]) for a, b in edges], vertex_spacing=1, dummy_vertices=True,
            dummy_size=0.6,
        )  # fmt: skip
        for positions, _, _, drawn in layouts:
            first = min(x for _, (x, _) in positions)
            top = max(y for _, (_, y) in positions)
            at = {
                int(node): (left + (x - first) * _COLUMN, _MARGIN + _HEIGHT / 2 + (top - y) * _ROW)
                for node, (x, y) in positions
            }
            places |= {joined[node]: point for node, point in at.items() if node < len(joined)}
            after: dict[int, list[int]] = {}
            for a, b in drawn or ():
                after.setdefault(int(a), []).append(int(b))
            for start in [node for node in at if node < len(joined)]:
                for step in after.get(start, ()):
                    path = [start, step]
                    while path[-1] >= len(joined):
                        path.append(after[path[-1]][0])
                    bends[joined[start], joined[path[-1]]] = [at[node] for node in path[1:-1]]
            left = max(x for x, _ in at.values()) + _COLUMN
    return [places[box] for box in range(count)], bends


def _line(points: Sequence[_Point]) -> str:
    """A smooth curve from the bottom of the first box to the top of the last."""
    (x, y), *_ = points
    path = [f"M{x:.1f},{y + _HEIGHT / 2:.1f}"]
    y += _HEIGHT / 2
    for number, (to_x, to_y) in enumerate(points[1:], start=1):
        end = to_y - _HEIGHT / 2 if number == len(points) - 1 else to_y
        middle = (y + end) / 2
        path.append(f"C{x:.1f},{middle:.1f} {to_x:.1f},{middle:.1f} {to_x:.1f},{end:.1f}")
        x, y = to_x, end
    return f'<path class="edge" d="{" ".join(path)}" marker-end="url(#tip)"/>'


def _layer_box(number: int, layer: Mapping[str, Any]) -> _Box:
    facts = [layer["name"], f"{_shape(layer['input_shape'])} to {_shape(layer['output_shape'])}"]
    if layer["macs"]:
        facts.append(f"{layer['macs']:,} MACs")
    if layer["parameters"]:
        facts.append(f"{layer['parameters']:,} parameters")
    family = _FAMILIES.get(layer["operation"], "function")
    if layer["problem"]:
        facts.append(layer["problem"])
        family += " bad"
    return _Box(
        layer["operation"], _shape(layer["output_shape"]), family, f"layer{number}",
        "\n".join(facts),
    )  # fmt: skip


def _drawn(box: _Box, place: _Point) -> str:
    x, y = place
    title = box.title if len(box.title) <= 22 else box.title[:21] + "…"
    detail = box.detail if len(box.detail) <= _CHARACTERS else box.detail[: _CHARACTERS - 1] + "…"
    shape = (
        f'<g class="box {box.family}"><title>{escape(box.tooltip)}</title>'
        f'<rect x="{x - _WIDTH / 2:.1f}" y="{y - _HEIGHT / 2:.1f}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" rx="{_HEIGHT / 2 if box.family == "border" else 6}"/>'
        f'<text x="{x:.1f}" y="{y - 4:.1f}">{escape(title)}</text>'
        f'<text class="small" x="{x:.1f}" y="{y + 14:.1f}">{escape(detail)}</text></g>'
    )
    if not box.link:
        return shape
    return f'<a id="box-{box.link}" href="#{box.link}">{shape}</a>'


def _row(number: int, layer: Mapping[str, Any]) -> str:
    weight = "" if layer["weight_bits"] is None else f"W{layer['weight_bits']}"
    intensity = layer["intensity"]
    cells = [
        f'<td><a href="#box-layer{number}">{escape(layer["name"])}</a></td>',
        f"<td>{escape(layer['operation'])}</td>",
        f"<td>{_shape(layer['input_shape'])}</td>",
        f"<td>{_shape(layer['output_shape'])}</td>",
        f"<td>{weight}A{layer['activation_bits']}</td>",
        *(f"<td class=number>{n:,}</td>" if n else "<td></td>"
          for n in (layer["macs"], layer["parameters"], layer["bytes"])),
        f"<td class=number>{'' if intensity is None else f'{intensity:.1f}'}</td>",
        f"<td class=problem>{escape(layer['problem'])}</td>" if layer["problem"] else "<td></td>",
    ]  # fmt: skip
    return f'<tr id="layer{number}">{"".join(cells)}</tr>'


def _shape(shape: Sequence[int]) -> str:
    return "×".join(str(extent) for extent in shape)


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1d2433; --paper: #ffffff; --line: #97a1b3;
  --faint: #667085; --stripe: #f4f6f9; --product: #dbe8ff; --pool: #dff3e4; --move: #eceef2;
  --function: #fff0d9; --bad: #b42318; --good: #1b7a3d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf1; --paper: #14181f; --line: #667085;
  --faint: #9aa5b8; --stripe: #1b212b; --product: #1f3a68; --pool: #1d4a2d; --move: #2b313c;
  --function: #55401b; --bad: #ff8a80; --good: #7bd88f; } }
body { margin: 24px; color: var(--ink); background: var(--paper);
  font: 14px/1.45 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 20px; margin: 0; overflow-wrap: anywhere; }
.facts { color: var(--faint); margin: 4px 0 12px; }
.verdict { font-weight: 600; } .verdict.good { color: var(--good); }
.verdict.bad, .problem { color: var(--bad); }
.drawing { overflow: auto; max-height: 75vh; border: 1px solid var(--line); border-radius: 8px; }
svg { display: block; margin: 0 auto; }
svg text { fill: var(--ink); text-anchor: middle; font-size: 14px; }
svg .small { fill: var(--faint); font-size: 12px; }
svg .edge { fill: none; stroke: var(--line); stroke-width: 1.4; }
svg marker path { fill: var(--line); }
.box rect { fill: var(--function); stroke: var(--line); }
.box.product rect { fill: var(--product); } .box.pool rect { fill: var(--pool); }
.box.move rect { fill: var(--move); } .box.border rect { fill: var(--paper); }
.box.bad rect { stroke: var(--bad); stroke-width: 3; }
a { color: inherit; } svg a:hover rect, svg a:target rect { stroke: var(--ink); stroke-width: 2.5; }
table { border-collapse: collapse; margin-top: 20px; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 4px 10px; vertical-align: top; white-space: nowrap; }
td:first-child, td.problem { white-space: normal; overflow-wrap: anywhere; min-width: 12em; }
th:last-child { min-width: 4em; }
th { position: sticky; top: 0; background: var(--paper); border-bottom: 1px solid var(--line); }
tbody tr:nth-child(even) { background: var(--stripe); }
tbody tr:target { outline: 2px solid var(--line); }
.number { text-align: right; }
@media print { .drawing { max-height: none; border: 0; } }
</style>
</head>
<body>
<h1>$title</h1>
<p class="facts">$facts</p>
$verdict
<div class="drawing">
$drawing
</div>
<table>
<thead><tr><th>layer</th><th>operation</th><th>input</th><th>output</th><th>bits</th>
<th class=number>MACs</th><th class=number>parameters</th><th class=number>bytes</th>
<th class=number>ops/byte</th><th>problem</th></tr></thead>
<tbody>
$rows
</tbody>
</table>
</body>
</html>
""")
