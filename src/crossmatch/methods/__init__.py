"""Methods by name. A new method is a file with a `Method` and its settings, and a line in `METHODS`."""

from crossmatch.methods.admt import ADMT
from crossmatch.methods.bcp import BCP
from crossmatch.methods.caml import CAML
from crossmatch.methods.cml import CML
from crossmatch.methods.cps import CPS
from crossmatch.methods.crossmatch import CrossMatch
from crossmatch.methods.distillation import Distillation
from crossmatch.methods.dmd import DMD
from crossmatch.methods.dtc import DTC
from crossmatch.methods.fixmatch import FixMatch
from crossmatch.methods.mcnet import MCNet
from crossmatch.methods.mean_teacher import MeanTeacher
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.pseudo_label import PseudoLabel
from crossmatch.methods.sassnet import SASSNet
from crossmatch.methods.sdcl import SDCL
from crossmatch.methods.self_distillation import SelfDistillation
from crossmatch.methods.ssnet import SSNet
from crossmatch.methods.supervised import Supervised
from crossmatch.methods.supervised_strong import SupervisedStrong
from crossmatch.methods.uamt import UAMT
from crossmatch.methods.unimatch import UniMatch
from crossmatch.methods.urpc import URPC

METHODS: dict[str, type[Method]] = {
    "supervised": Supervised,
    "supervised_strong": SupervisedStrong,
    "pseudo_label": PseudoLabel,
    "distillation": Distillation,
    "self_distillation": SelfDistillation,
    "mean_teacher": MeanTeacher,
    "uamt": UAMT,
    "fixmatch": FixMatch,
    "unimatch": UniMatch,
    "cps": CPS,
    "urpc": URPC,
    "dmd": DMD,
    "mcnet": MCNet,
    "dtc": DTC,
    "admt": ADMT,
    "ssnet": SSNet,
    "sassnet": SASSNet,
    "caml": CAML,
    "bcp": BCP,
    "sdcl": SDCL,
    "cml": CML,
    "crossmatch": CrossMatch,
}

__all__ = ["METHODS", "CrossMatch", "Method", "MethodSettings", "Supervised"]
