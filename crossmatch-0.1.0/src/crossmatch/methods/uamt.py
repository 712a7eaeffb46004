"""UA-MT, the uncertainty-aware Mean Teacher: the teacher counts only where its predictions under noise are certain.

Shapes: B batch, C channels, K classes, *S space.
Source: Yu, Wang, Li, Fu, Heng, "Uncertainty-aware Self-ensembling Model for Semi-supervised 3D Left Atrium
Segmentation", MICCAI 2019; constants of the released code github.com/yulequan/UA-MT, commit 88ed29a,
train_LA_meanteacher_certainty_unlabel.py.
"""

import math

import torch
from torch import Tensor

from crossmatch.methods.mean_teacher import MeanTeacher, MeanTeacherSettings
from crossmatch.methods.schedules import threshold_at
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Fraction

PASSES = 8  # T of paper and released code: the teacher's passes for its uncertainty, two at a time
THRESHOLD_RAMP = 1.0  # the threshold reaches the largest entropy at the end of the run; released
LOG_EPSILON = 1e-6  # keeps the logarithm finite; released
LARGEST = 2.0  # the largest squared distance of two distributions; released divisor (there the number of classes)


class UAMTSettings(MeanTeacherSettings):
    """The settings of Mean Teacher, with the same released values, and the threshold on the uncertainty."""

    threshold: Fraction = 0.75
    """Highest uncertainty of a voxel that counts, at the start of the run, as a share of the largest entropy. It rises
    to 1."""


class UAMT(MeanTeacher):
    """Mean Teacher on certain voxels: H(p̄) < (0.75 + 0.25 ramp(t)) ln K, with p̄ the mean softmax of T noisy passes.

    Passes differ by their noise and by the network's dropout. The released threshold has ln 2, the largest entropy of
    two classes. Ours has ln K, that of K classes (SSL4MIS keeps ln 2 for four classes). The student is the predictor,
    as released.
    """

    about = "Mean Teacher, where the teacher's predictions under noise are certain"
    paper = "Yu et al., MICCAI 2019, arXiv 1907.07034"
    Settings = UAMTSettings
    settings: UAMTSettings

    def consistency(self, student: Tensor, images: Tensor, progress: Tensor) -> dict[str, Tensor]:
        """``consistency``: squared difference on certain voxels; ``confident``: the share of these voxels."""
        distance = (student - self.teach(images)).square()
        largest = math.log(student.shape[1])
        threshold = threshold_at(progress, self.settings.threshold, THRESHOLD_RAMP, largest)
        certain = (self.uncertainty(images) < threshold).float()
        mean = (certain * distance).sum() / (LARGEST * certain.sum() + 1e-16)
        return {"consistency": mean, "confident": certain.mean()}

    def uncertainty(self, images: Tensor) -> Tensor:
        """Entropy (B, 1, *S), in nats, of the teacher's mean softmax over `PASSES` noises; images (B, C, *S)."""
        pairs = torch.cat([images, images])
        passes = torch.cat([self.teach(pairs) for _ in range(PASSES // 2)])
        mean = passes.reshape(PASSES, len(images), *passes.shape[1:]).mean(0)
        entropy: Tensor = -(mean * (mean + LOG_EPSILON).log()).sum(1, keepdim=True)
        return entropy

    def predictor(self) -> Segmenter:
        """The student."""
        return self.network
