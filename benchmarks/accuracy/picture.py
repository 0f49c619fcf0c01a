"""One picture of how right the counts are, as SVG text: a crowd is a dot, its interval a line, the truth a diagonal."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.accuracy.scores import Score

WIDTH, HEIGHT, MARGIN = 640, 460, 60
COLOURS = {"different": "#1b6ca8", "twins": "#c8553d", "identical": "#588157", "walk-in": "#8367c7"}


def picture(scores: Sequence[tuple[str, Score]], naive_factor: float) -> str:
    """``scores`` are (kind of crowd, score); ``naive_factor`` is by how much counting addresses overshoots, on average."""
    top = max(max(score.devices, score.high or 0.0) for _, score in scores) * 1.08
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<line x1="{_x(0, top)}" y1="{_y(0, top)}" x2="{_x(top, top)}" y2="{_y(top, top)}" stroke="#999999" stroke-dasharray="5 4"/>',
        f'<text x="{WIDTH / 2}" y="24" text-anchor="middle" font-size="15">Each dot is a crowd: how many phones there were, and what Ivizone said</text>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">phones in the crowd</text>',
        f'<text x="18" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 18 {HEIGHT / 2})">phones counted, with 90 % interval</text>',
        f'<text x="{MARGIN + 14}" y="{MARGIN + 4}" fill="#555555">Counting addresses would lie {naive_factor:.0f} times as high, far above this page.</text>',
    ]
    for tick in range(0, int(top) + 1, 5):
        parts.append(f'<text x="{_x(tick, top)}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{tick}</text>')
        parts.append(f'<text x="{MARGIN - 8}" y="{_y(tick, top) + 4}" text-anchor="end">{tick}</text>')
    places: dict[int, int] = {}
    for kind, score in scores:
        place = places[score.devices] = places.get(score.devices, -1) + 1
        parts += _dot(kind, score, _x(score.devices, top) + 4.5 * ((place % 9) - 4), top)
    for n, (kind, colour) in enumerate(COLOURS.items()):
        y = HEIGHT - MARGIN - 16 - 18 * n
        parts.append(f'<circle cx="{WIDTH - 130}" cy="{y}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - 118}" y="{y + 4}">{kind}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _dot(kind: str, score: Score, x: float, top: float) -> list[str]:
    colour = COLOURS[kind]
    low, high = score.low or score.counted, score.high or score.counted
    return [
        f'<line x1="{x:.1f}" y1="{_y(low, top):.1f}" x2="{x:.1f}" y2="{_y(high, top):.1f}" stroke="{colour}" stroke-opacity="0.45"/>',
        f'<circle cx="{x:.1f}" cy="{_y(score.counted, top):.1f}" r="3" fill="{colour}"/>',
    ]


def _x(devices: float, top: float) -> float:
    return round(MARGIN + devices / top * (WIDTH - 2 * MARGIN), 1)


def _y(devices: float, top: float) -> float:
    return round(HEIGHT - MARGIN - devices / top * (HEIGHT - 2 * MARGIN), 1)
