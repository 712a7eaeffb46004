"""The page of a run, section by section. Styles, scripts, pictures and data are inside of the page."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from crossmatch.errors import listed
from crossmatch.inference.quality_record import read_quality
from crossmatch.reports.calibrated import quality_section
from crossmatch.reports.cases import case_figures
from crossmatch.reports.curves import ZOOMED_POINTS, series, training_panels, validation_panel
from crossmatch.reports.document import document
from crossmatch.reports.evaluated import evaluation_section, no_evaluation, notices, pictures_section
from crossmatch.reports.heading import header, key_numbers, state
from crossmatch.reports.other_weights import told_of_scores
from crossmatch.reports.tables import settings_table
from crossmatch.reports.unscored import Unscored
from crossmatch.reports.viewer import Viewer
from crossmatch.runs.logbook import LoggedLine, read_metrics
from crossmatch.runs.run import Run
from crossmatch.scoring.scored_files import told_since
from crossmatch.scoring.scores import Evaluation

AFTER_STATE = 3  # sections: what is said of the whole page stands behind its head


def render(
    run: Run,
    evaluation: Evaluation | None,
    predictions: Path | None,
    references: Path | None,
    unscored: Sequence[Unscored],
    viewer: Viewer | None = None,
) -> str:
    """The whole page.

    Args:
        run: finished or not.
        evaluation: of its predictions, if there is one; predictions: the evaluated masks; references: of these, where
            they can be found.
        unscored: masks without a reference, folder by folder.
        viewer: takes in the cases with pictures, and goes into the page; None: no viewer.
    """
    lines = read_metrics(run.metrics)
    name = run.folder.resolve().name
    body = [header(run, escape(name)), key_numbers(run, lines, evaluation), state(run, lines)]
    if evaluation is not None:
        doubts = [*told_of_scores(run, evaluation.prediction), *told_since(evaluation, predictions, references)]
        body.append(evaluation_section(run, evaluation, doubts, references))
        if predictions is not None:
            figures, notes = case_figures(run, evaluation, predictions, viewer)
            content = [notices(notes), *figures.values()]
            layers = ("reference", "prediction")
            body.append(pictures_section("Best, median and worst case", evaluation.labels, content, layers))
    qualities = [] if predictions is None else [(read_quality(predictions), True)]
    qualities += [(masks.quality, False) for masks in unscored if masks.folder != predictions]
    for masks in unscored:
        told, figures, table = masks.section(viewer)
        content = [told, *figures.values(), table]
        body.append(pictures_section("Predictions without a reference", masks.labels, content, ("prediction",)))
    body += [quality_section(quality, evaluation if beside else None, run, references) for quality, beside in qualities]
    if evaluation is None:
        body.append(no_evaluation(run))
    body += [_curves(run, lines), _settings(run), _origin(run)]
    if viewer is None:
        return document(name, body)
    body.insert(AFTER_STATE, notices(viewer.told()))
    blocks, scripts = viewer.content()
    return document(name, [*body, *blocks], scripts)


def _curves(run: Run, lines: list[LoggedLine]) -> str:
    training, validation = series(lines, "train"), series(lines, "validation")
    panels = [validation_panel(validation)] if "mean" in validation else []
    panels += training_panels(training)
    if not panels:
        return "<section><h2>Curves</h2><p>There are none yet.</p></section>"
    every = (
        f"Training values are means over {run.recipe.train.log_every} steps; legends give the last ones. Drag across a "
        "curve to zoom; a double click shows all of it."
    )
    if max((len(curve.points) for curve in training.values()), default=0) > ZOOMED_POINTS:
        every += f" Neighbours are averaged to draw at most {ZOOMED_POINTS} points a curve."
    return f'<section><h2>Curves</h2><p class="aside">{every}</p><div class="panels">{"".join(panels)}</div></section>'


def _settings(run: Run) -> str:
    tree = run.recipe.model_dump(mode="json", exclude={"about", "departures"})
    groups = {name: value for name, value in tree.items() if isinstance(value, dict)}
    general = {name: value for name, value in tree.items() if name not in groups}
    tables = [settings_table("recipe", general), *(settings_table(name, value) for name, value in groups.items())]
    items = "".join(f"<li>{escape(text)}</li>" for text in run.recipe.departures)
    departures = f"<h3>Where the recipe departs from the released code</h3><ul>{items}</ul>" if items else ""
    return f'<section><h2>Settings</h2><div class="columns">{"".join(tables)}</div>{departures}</section>'


def _origin(run: Run) -> str:
    data, record = run.data, run.record
    tables = [
        settings_table("code", {"seed": run.recipe.seed, **record["code"], **record["versions"]}),
        settings_table("device", record["device"]),
        settings_table(
            "data",
            {
                "name": data["name"],
                "folder": data["root"],
                "labels": [f"{value} {name}" for name, value in data["labels"].items()],
                "channels": data["channels"],
                "labelled": f"{len(data['labelled'])} cases: {listed(data['labelled'])}",
                "unlabelled": f"{data['unlabelled']} cases",
                "validation": f"{len(data['validation'])} cases: {listed(data['validation'])}",
                "fingerprint": data["fingerprint"],
            },
        ),
    ]
    return f'<section><h2>Origin</h2><div class="columns">{"".join(tables)}</div></section>'
