"""What each logged value is: a title for its panel of curves, and one plain sentence below it."""

from typing import NamedTuple


class Term(NamedTuple):
    """How the page describes a value that a run logs."""

    title: str
    sentence: str


# In the order of the page. Parts stand with their whole: tkd_ww with tkd, ip1 and ip2 with ip.
TERMS = {
    "total": Term("Total loss", "What training minimises: the weighted sum of the losses below."),
    "sup": Term("Supervised loss, L_sup", "How far predictions of labelled images are from their labels."),
    "ip": Term(
        "Image perturbation, L_ip",
        "How far predictions of two strong views of an unlabelled image are from the prediction of its weak view.",
    ),
    "tkd": Term(
        "Teacher distillation, L_tkd",
        "How far predictions from features with weak (w) or strong (s) dropout are from those without; the first "
        "letter is the image's view, the second the features'.",
    ),
    "dkd": Term(
        "Decoder distillation, L_dkd",
        "How far strong-view predictions from dropped features are from weak-view ones with the same dropout rate.",
    ),
    "s": Term(
        "Strong views",
        "How far predictions of two strong views of an unlabelled image are from the prediction of its weak view.",
    ),
    "fp": Term(
        "Feature perturbation", "How far the prediction from features with dropout is from the prediction without."
    ),
    "strong": Term(
        "Strong view",
        "How far the prediction of the strong view of an unlabelled image is from the prediction of its weak view.",
    ),
    "pseudo": Term(
        "Pseudo-label loss",
        "How far predictions of unlabelled images are from labels that the network or its teacher gave them.",
    ),
    "distil": Term(
        "Distillation",
        "How far predictions of unlabelled images are from the soft predictions of a teacher, or of the weak view.",
    ),
    "consistency": Term(
        "Consistency", "How far several predictions of one unlabelled image are apart, or from the teacher's."
    ),
    "cross": Term("Cross supervision", "How far each of two networks is from the other's labels."),
    "mutual": Term("Mutual distillation", "How far the soft predictions of two decoders are from each other."),
    "distance": Term(
        "Distance maps", "How far predicted distances to the boundary are from those of labelled images' labels."
    ),
    "adversarial": Term(
        "Adversarial loss",
        "How well the discriminator tells the distance maps of unlabelled images from those of labelled ones.",
    ),
    "discriminator": Term(
        "Discriminator", "The discriminator's own loss: how badly it tells which images are labelled."
    ),
    "correction": Term("Correction", "How far both students are from the label in voxels where they disagree."),
    "discrepancy": Term(
        "Discrepancy", "How alike the features of both networks are, from 0, where they point in opposite directions."
    ),
    "uncertainty": Term(
        "Uncertainty", "How far predictions are from being undecided in voxels where students disagree and are wrong."
    ),
    "smoothness": Term(
        "Smoothness", "How much a prediction changes under the small change of the image that affects it most."
    ),
    "separation": Term("Separation of classes", "How far features are from the memory of their own class."),
    "correlation": Term("Correlation", "How far two decoders' similarities of voxels to the labelled memory differ."),
    "confident": Term(
        "Confident share of voxels",
        "Share of unlabelled voxels where the network is sure enough to teach itself; near 0 they teach nothing yet.",
    ),
    "pseudo_foreground": Term(
        "Foreground of pseudo-labels",
        "Share of foreground among the voxels that the network is sure of; at 0 it teaches itself only background.",
    ),
    "agreement": Term("Agreement", "Share of voxels to which both networks give the same label."),
    "divergence": Term("Divergence of scales", "How far the predictions of the scales lie from their mean."),
    "weight": Term("Weight", "The factor of the unlabelled terms, which grows over the warm-up."),
    "learning_rate": Term("Learning rate", "The size of the optimiser's steps; it usually falls to 0 at the end."),
}
SHARES = ("confident", "pseudo_foreground", "agreement")  # drawn from 0 to 1, in percent
VALIDATION = Term(
    "Validation Dice, %", "Overlap of predictions with the labels of validation cases, which are not trained on."
)


def group_of(name: str) -> str:
    """The panel of a logged value: tkd of tkd_ww, ip of ip1; a value of its own is its own panel."""
    return name if name in TERMS else name.partition("_")[0].rstrip("0123456789") or name


def term(group: str) -> Term:
    """The title and sentence of a panel; a new method's own terms have their name and no claim."""
    return TERMS.get(
        group, Term(group, "A term of the method, under the name that it logs; its class says what it is.")
    )


def place_of(group: str) -> float:
    """Where a panel stands on the page: unknown terms after the losses."""
    order = list(TERMS)
    return order.index(group) if group in TERMS else order.index("confident") - 0.5
