"""The stronger baseline: learn from the labelled images alone, augmented as nnU-Net v2 does.

Source: Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
Nature Methods 18, 203-211, 2021; released code github.com/MIC-DKFZ/nnUNet, commit 0e49508.

Only the augmentation is nnU-Net's (`perturb/augment.py` lists what differs). Network, loss, optimiser, patches and
prediction are those of the recipe, as for every method. So there is no deep supervision, no patch is chosen for its
foreground, and predictions are not mirrored. The images are weak views, which are augmented a second time here.
"""

from torch import Tensor

from crossmatch.batches.batch import Batch
from crossmatch.methods.method import MethodSettings
from crossmatch.methods.supervised import Supervised
from crossmatch.perturb.augment import AugmentSettings, augment, draw_augmentation


class SupervisedStrongSettings(MethodSettings):
    """What is done to the labelled images."""

    augment: AugmentSettings = AugmentSettings()
    """How labelled images are augmented."""


class SupervisedStrong(Supervised):
    """L_sup of augmented labelled images. Methods are compared with it to see what unlabelled images add."""

    about = "labelled images alone, augmented as nnU-Net does"
    paper = "Isensee et al., Nature Methods 2021"
    version = 2
    nesterov = True
    Settings = SupervisedStrongSettings
    settings: SupervisedStrongSettings

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``total``: as `Supervised`. In eval mode nothing is augmented.

        Parameters are drawn on the device, from PyTorch's generator, which the training loop seeds anew each step.
        """
        if self.training:
            chosen = self.settings.augment
            draw = draw_augmentation(chosen, len(batch.x), batch.y.ndim - 1, batch.x.device)
            x, y = augment(batch.x, batch.y, draw, chosen, self.colours)
            batch = batch._replace(x=x, y=y)
        return super().loss(batch, progress)
