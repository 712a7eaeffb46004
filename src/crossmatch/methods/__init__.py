"""Methods by name. A new one is a file with a `Method` and its settings, and a line in `METHODS`."""

from typing import Any

from crossmatch.methods.bcp import BCP, BCPSettings
from crossmatch.methods.cps import CPS, CPSSettings
from crossmatch.methods.crossmatch import CrossMatch, CrossMatchSettings
from crossmatch.methods.distillation import Distillation, DistillationSettings
from crossmatch.methods.fixmatch import FixMatch, FixMatchSettings
from crossmatch.methods.mean_teacher import MeanTeacher, MeanTeacherSettings
from crossmatch.methods.method import Method
from crossmatch.methods.pseudo_label import PseudoLabel, PseudoLabelSettings
from crossmatch.methods.self_distillation import SelfDistillation, SelfDistillationSettings
from crossmatch.methods.supervised import Supervised, SupervisedSettings
from crossmatch.methods.supervised_strong import SupervisedStrong, SupervisedStrongSettings
from crossmatch.methods.uamt import UAMT, UAMTSettings
from crossmatch.methods.unimatch import UniMatch, UniMatchSettings
from crossmatch.methods.urpc import URPC, URPCSettings

# name -> (method, its settings); a method is built as Method(network, settings, dice)
METHODS: dict[str, tuple[Any, Any]] = {
    "supervised": (Supervised, SupervisedSettings),
    "supervised_strong": (SupervisedStrong, SupervisedStrongSettings),
    "pseudo_label": (PseudoLabel, PseudoLabelSettings),
    "distillation": (Distillation, DistillationSettings),
    "self_distillation": (SelfDistillation, SelfDistillationSettings),
    "mean_teacher": (MeanTeacher, MeanTeacherSettings),
    "uamt": (UAMT, UAMTSettings),
    "fixmatch": (FixMatch, FixMatchSettings),
    "unimatch": (UniMatch, UniMatchSettings),
    "cps": (CPS, CPSSettings),
    "urpc": (URPC, URPCSettings),
    "bcp": (BCP, BCPSettings),
    "crossmatch": (CrossMatch, CrossMatchSettings),
}

__all__ = ["METHODS", "CrossMatch", "Method", "Supervised"]
