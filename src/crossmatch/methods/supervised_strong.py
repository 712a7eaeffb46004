"""The stronger baseline: learn from the labelled images alone, augmented as nnU-Net v2 does.

Source: Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
Nature Methods 18, 203-211, 2021; released code github.com/MIC-DKFZ/nnUNet, commit 0e49508.

Only the augmentation is nnU-Net's (`perturb/augment.py` lists what differs). Network, loss, optimiser, patches and
prediction are those of the recipe, as for every method. So there is no deep supervision, no patch is chosen for its
foreground, and predictions are not mirrored. `views.augment` sets the augmentation. Where a recipe augments the
labelled images of every method (`views.augment.labelled`), only Nesterov momentum tells it from `supervised`.
"""

from crossmatch.methods.supervised import Supervised


class SupervisedStrong(Supervised):
    """L_sup of augmented labelled images. Methods are compared with it to see what unlabelled images add."""

    about = "labelled images alone, augmented as nnU-Net does"
    paper = "Isensee et al., Nature Methods 2021"
    version = 3
    nesterov = True
    augmented = True
