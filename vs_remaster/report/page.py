"""The page of a report: one HTML file made from facts, which opens from a disk and loads nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template

from .album import FOLDER
from .coverage import COVERED
from .facts import Facts, Suggestion
from .plots import Axis, Line, clock, plot
from .shots import ShotFacts

_MASKED = "share of the picture that the restorer repaired, by its own mask."
_ESTIMATED = (
    "share of the pixels that were changed locally and by more than grain; an estimate from the two films, a third to "
    "a half too low. A report of a job knows the restorer's own mask."
)


def make_page(facts: Facts) -> str:
    """The whole page.

    Args:
        facts: of the film; pictures are linked where `facts.pictured` and `facts.suggestions` say that there are some.
    """
    package = files(__package__)
    template = Template((package / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        style=(package / "page.css").read_text(encoding="utf-8"),
        script=(package / "page.js").read_text(encoding="utf-8"),
        title=escape(facts.after),
        about=_about(facts),
        figures=_figures(facts),
        compare=_compare(facts),
        shots=_strip(facts),
        shot_count=_count(len(facts.shots), "shot"),
        stills=_stills(facts),
        suggestions=_suggestions(facts),
        plots=_plots(facts),
        rows="".join(_row(facts, shot) for shot in facts.shots),
        head="".join(f'<th scope="col">{name}</th>' for name, _ in _columns(facts)),
        data=json.dumps(_data(facts), separators=(",", ":")).replace("<", "\\u003c"),
        covered=f"{COVERED:.0%}",
        repaired=_MASKED if facts.masked else _ESTIMATED,
        version=escape(facts.version),
    )


def _about(facts: Facts) -> str:
    given = len(facts.references) - facts.carried
    references = _count(given, "reference") if given else "no references"
    if facts.carried:
        references += f", colour carried to {_count(facts.carried, 'frame')}"
    made = f" made {facts.scale * facts.width}x{facts.scale * facts.height}" if facts.scale > 1 else ""
    size = f"{_count(facts.frames, 'frame')} of {facts.width}x{facts.height}{made}, {facts.fps:.5g} frames a second"
    shots = _count(len(facts.shots), "shot")
    return escape(f"from {facts.before}: {clock(facts.seconds)}, {size}, {shots}, {references}")


def _figures(facts: Facts) -> str:
    """The film's own numbers in large."""
    told = [
        ("Flicker", _change(facts.flicker_before, facts.flicker_after), "of white, before → after"),
        ("Repaired", _percent(facts.damage), "of all pixels"),
    ]
    if facts.colored:
        told.append(("Colour drift", _percent(facts.drift), "of white, within shots"))
    if facts.references:
        shown = [shot for shot in facts.shots if shot.coverage is not None and shot.coverage >= COVERED]
        told.append(("Covered", f"{len(shown)} of {len(facts.shots)}", "shots, by the references"))
    return "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}<small>{unit}</small></dd></div>" for name, value, unit in told
    )


def _compare(facts: Facts) -> str:
    """The slider, with the frame of the first shot that has a picture; the script changes it."""
    pictured = set(facts.pictured)
    frame = next((shot.frame for shot in facts.shots if shot.frame in pictured), None)
    if frame is None:
        return ""
    images = "".join(
        f'<img id="{kind}" class="{kind}" src="{_file(kind, frame)}" alt="Frame {frame} {kind}">'
        for kind in ("after", "before")
    )
    return (
        f'<div class="compare" id="compare" style="--ratio:{facts.shape:.4f}">{images}'
        '<div class="line" aria-hidden="true"></div><span class="tag left" aria-hidden="true">before</span>'
        '<span class="tag right" aria-hidden="true">after</span>'
        '<input id="cut" type="range" min="0" max="100" value="50" '
        'aria-label="Border between before (left) and after (right), in percent"></div>'
    )


def _strip(facts: Facts) -> str:
    pictured = set(facts.pictured)
    items = []
    for shot in facts.shots:
        label = f"{shot.number} · {clock(shot.start, facts.seconds < 30)}"
        open_ = shot.coverage is not None and shot.coverage < COVERED
        items.append(_item(facts, shot.frame, shot.number, label, f"Shot {shot.number}", shot.frame in pictured, open_))
    return "".join(items)


def _stills(facts: Facts) -> str:
    tenths = facts.seconds < 30
    return "".join(
        _item(facts, still.frame, still.shot, clock(still.time, tenths), f"At {clock(still.time, tenths)}", True, False)
        for still in facts.stills
    )


def _item(facts: Facts, frame: int, shot: int, label: str, name: str, pictured: bool, uncovered: bool) -> str:
    """A button of a strip; `uncovered` ones are marked."""
    image = '<span class="none">no picture</span>'
    if pictured:
        source = _file("thumb", frame)
        image = f'<img src="{source}" alt="{name}, frame {frame}" loading="lazy" style="--ratio:{facts.shape:.4f}">'
    badge = '<span class="badge">no reference</span>' if uncovered else ""
    lock = "" if pictured else " disabled"
    return (
        f'<li><button type="button" data-frame="{frame}" data-shot="{shot}"{lock}>{image}{badge}'
        f"<span>{escape(label)}</span></button></li>"
    )


def _suggestions(facts: Facts) -> str:
    if not facts.suggestions:
        return '<p class="quiet">Every shot looks like one of the references.</p>'
    why = "No reference shows some shots." if facts.references else "No references were given."
    most = len(facts.suggestions)
    what = "this frame" if most == 1 else f"these {most} frames, the most useful first,"
    cards = "".join(_card(facts, suggestion) for suggestion in facts.suggestions)
    return (
        f"<p>{why} Colour {what} by hand or with any program, and give the folder with <code>--references</code>. "
        "The pictures are restored and gray; the number in a name says which frame it is.</p>"
        f'<ol class="cards">{cards}</ol>'
    )


def _card(facts: Facts, suggestion: Suggestion) -> str:
    name = f"paint_{suggestion.frame:06d}.png"
    shots = ", ".join(map(str, suggestion.shots[:8])) + (" …" if suggestion.count > 8 else "")
    serves = f"serves shot{'s' if suggestion.count > 1 else ''} {shots}: {suggestion.seconds:.1f} s"
    thumb = "thumb" if suggestion.frame in facts.pictured else None
    source = _file(thumb, suggestion.frame) if thumb else f"{FOLDER}/{name}"
    return (
        f'<li><img src="{source}" alt="Frame {suggestion.frame}, to be painted" loading="lazy" '
        f'style="--ratio:{facts.shape:.4f}"><div><b>Frame {suggestion.frame}</b> at {clock(suggestion.time, True)}<br>'
        f'{serves}<br><a href="{FOLDER}/{name}" download="{name}">{name}</a></div></li>'
    )


def _plots(facts: Facts) -> str:
    axis = Axis(facts.frames, facts.seconds, facts.curve_step, [_place(facts, shot) for shot in facts.shots[1:]])

    def line(name: str, label: str, style: str) -> Line:
        return Line(label, style, [None if v is None else 100 * v for v in facts.curves[name]])

    both = [("before", "was"), ("after", "became")]
    drawn = [
        plot("Flicker", "% of white", [line(f"flicker_{name}", name, style) for name, style in both], axis),
        plot("Mean luma", "% of white", [line(f"luma_{name}", name, style) for name, style in both], axis, top=100),
    ]
    if facts.colored:
        drawn.append(plot("Saturation", "% of white", [line("saturation", "after", "became")], axis))
    if facts.references:
        covered = line("coverage", "best reference", "became")
        drawn.append(plot("Reference coverage", "%", [covered], axis, top=100, mark=100 * COVERED))
    return "".join(drawn)


def _columns(facts: Facts) -> list[tuple[str, str]]:
    """Heads of the table and what stands under them, as a key of `_told`."""
    columns = [("Shot", "number"), ("Time", "time"), ("Frames", "frames")]
    columns += [("Flicker", "flicker"), ("Repaired", "damage")]
    if facts.colored:
        columns += [("Colour drift", "drift"), ("Saturation", "saturation")]
    if facts.references:
        columns += [("Coverage", "coverage"), ("Best reference", "reference")]
    if any(shot.shares for shot in facts.shots):
        columns.append(("Coloured from", "shares"))
    return columns


def _told(shot: ShotFacts) -> dict[str, str]:
    return {
        "number": str(shot.number),
        "time": f"{clock(shot.start, True)} – {clock(shot.end, True)}",
        "frames": f"{shot.first} – {shot.first + shot.frames - 1}",
        "flicker": _change(shot.flicker_before, shot.flicker_after),
        "damage": _percent(shot.damage),
        "drift": _percent(shot.drift),
        "saturation": _percent(shot.saturation),
        "coverage": "" if shot.coverage is None else _percent(shot.coverage, 0),
        "reference": shot.reference or "",
        "shares": ", ".join(f"{name} {_percent(share, 0)}" for name, share in shot.shares if share >= 0.005),
    }


def _row(facts: Facts, shot: ShotFacts) -> str:
    told = _told(shot)
    cells = [told[key] for _, key in _columns(facts)]
    weak = ' class="weak"' if shot.coverage is not None and shot.coverage < COVERED else ""
    return f'<tr{weak}><th scope="row">{cells[0]}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])}</tr>'


def _data(facts: Facts) -> dict:
    """What the script needs: of each shot its place along the plots, 0..1, and what is written beside the slider."""
    names = [(name, key) for name, key in _columns(facts) if key != "number"]
    shots = [
        [
            round(_place(facts, shot), 5),
            round(shot.frames / facts.frames, 5),
            [_told(shot)[key] for _, key in names],
        ]
        for shot in facts.shots
    ]
    return {"folder": FOLDER, "names": [name for name, _ in names], "shots": shots}


def _place(facts: Facts, shot: ShotFacts) -> float:
    """Where a shot begins, 0..1."""
    return (shot.first - facts.first) / facts.frames


def _file(kind: str, frame: int) -> str:
    return f"{FOLDER}/{kind}_{frame:06d}.jpg"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _change(before: float, after: float) -> str:
    return f"{100 * before:.2f} → {_percent(after)}".replace(" → ", "\N{NO-BREAK SPACE}→ ")
