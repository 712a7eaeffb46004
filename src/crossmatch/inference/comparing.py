"""What a prediction is compared with: the runs of an ensemble, or the features of one network with parts dropped."""

from crossmatch.inference.agreement import Views
from crossmatch.inference.ensemble import Ensemble
from crossmatch.inference.feature_views import FeatureViews
from crossmatch.inference.member_views import MemberViews
from crossmatch.networks import Segmenter
from crossmatch.recipes.schema import Recipe

RATES = (0.1, 0.5)  # of feature drops, where the method of a run has none


def views_of(recipe: Recipe, network: Segmenter, whole: bool = False) -> Views:
    """The views of an ensemble are its runs; those of one run its features, at the rates of its method, or `RATES`."""
    if isinstance(network, Ensemble):
        return MemberViews(network, whole)
    settings = recipe.method.settings
    weak, strong = (getattr(settings, name, None) for name in ("weak_rate", "strong_rate"))
    rates = RATES if weak is None or strong is None else (float(weak), float(strong))
    return FeatureViews(network, rates, whole)
