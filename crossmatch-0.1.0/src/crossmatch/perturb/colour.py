"""The strong view of colour images: brightness, contrast, saturation and hue in an order drawn for each, and grey.

Shapes: B images of red, green and blue in [0, 1], (B, 3, *S).
Source: torchvision's ColorJitter and RandomGrayscale on Pillow images, as the released code of CrossMatch has them
(github.com/AiEson/CrossMatch, commit 59772e0: ColorJitter(0.5, 0.5, 0.5, 0.25)) and that of UniMatch for photographs
(github.com/LiheYoung/UniMatch, commit 0324f3d, which also makes 0.2 of the images grey). Here values stay floats, where
Pillow rounds to 8 bits after each change and keeps hues in 256 steps. What changes a colour is one number for all three
channels, or a look at all three together: a channel is never scaled by itself.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey, ITU-R BT.601, as in Pillow
_BLENDS = 3  # brightness, contrast, saturation: in `ColourDraw.order` they are 0 to 2
_CONTRAST, _SATURATION = 1, 2
_SIXTHS = (5.0, 3.0, 1.0)  # of the colour circle, where red, green and blue are counted from, see `shift_hue`


class ColourDraw(NamedTuple):
    """Parameters of B views beside those of `StrongDraw`. The factor is 1, the shift 0, where nothing happens."""

    saturation: Tensor  # (B,)
    hue: Tensor  # (B,) shift, in turns of the colour circle
    order: Tensor  # (B, 3) int64: of brightness, contrast and saturation, the one that comes first, second, last
    before: Tensor  # (B,) int64, how many of them come before the hue: 0 to 3
    grey: Tensor  # (B,) bool


def draw_colour(
    saturation: float, hue: float, grey_probability: float, jittered: Tensor, generator: torch.Generator
) -> ColourDraw:
    """Draw the parameters of B views on the CPU; `jittered` (B,) bool says which of them change at all."""
    count = len(jittered)
    factor, shift, place, grey = torch.rand(4, count, generator=generator)
    return ColourDraw(
        saturation=torch.where(jittered, 1 + saturation * (2 * factor - 1), 1.0),
        hue=torch.where(jittered, hue * (2 * shift - 1), 0.0),
        order=torch.rand(count, _BLENDS, generator=generator).argsort(1),
        before=(place * (_BLENDS + 1)).long(),
        grey=grey < grey_probability,
    )


def apply_colour(x: Tensor, brightness: Tensor, contrast: Tensor, draw: ColourDraw) -> Tensor:
    """Images (B, 3, *S) -> the same, changed in the drawn order; factors (B,).

    Brightness, contrast and saturation go away from or towards black, the mean grey of the image and each pixel's own
    grey: one blend each. They are taken once before the hue and once after it, with a factor of 1 where an image has
    its turn on the other side, so that the hue, which costs most, is turned once.
    """
    factors = torch.stack([brightness, contrast, draw.saturation], 1).gather(1, draw.order)

    def blended(x: Tensor, before: bool) -> Tensor:
        for k in range(_BLENDS):
            change = draw.order[:, k]
            factor = torch.where((k < draw.before) == before, factors[:, k], 1.0)
            grey = luma(x)
            towards = torch.where(per_image(change == _SATURATION, x), grey, 0.0)
            towards = torch.where(per_image(change == _CONTRAST, x), mean_grey(grey), towards)
            x = blend(x, towards, factor)
        return x

    x = blended(x, before=True)
    x = blended(torch.where(per_image(draw.hue != 0, x), shift_hue(x, draw.hue), x), before=False)
    return torch.where(per_image(draw.grey, x), luma(x), x)


def luma(x: Tensor) -> Tensor:
    """Images (B, 3, *S) -> their grey, (B, 1, *S), as Pillow weighs the colours."""
    red, green, blue = (x[:, k : k + 1] for k in range(3))
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def mean_grey(grey: Tensor) -> Tensor:
    """(B, 1, *S) -> the mean of each image, (B, 1, *1)."""
    return grey.mean(tuple(range(2, grey.ndim)), keepdim=True)


def blend(x: Tensor, towards: Tensor, factor: Tensor) -> Tensor:
    """factor (B,) parts of the images and 1 - factor of `towards`, cut to [0, 1]; a factor of 1 changes nothing."""
    share = per_image(factor, x)
    return (x * share + towards * (1 - share)).clamp(0, 1)


def shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turn the hues of images (B, 3, *S) by shifts (B,), in turns; value and saturation (HSV) stay.

    With hue h in sixths of a turn, value v and chroma c, a channel is v - c clamp(min(k, 4 - k), 0, 1), where
    k = h + 5, 3 or 1 (red, green, blue), modulo 6. A grey pixel has c = 0 and stays.
    """
    value, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    chroma = value - least
    red, green, blue = (x[:, k : k + 1] for k in range(3))
    over = torch.where(chroma > 0, chroma, 1.0)
    hue = torch.where(
        value == red,
        (green - blue) / over,
        torch.where(value == green, (blue - red) / over + 2, (red - green) / over + 4),
    )
    hue = hue + 6 * per_image(shift, x)
    starts = torch.stack([torch.full_like(shift[:1], start) for start in _SIXTHS], 1)
    place = (hue + starts.view(1, 3, *[1] * (x.ndim - 2))).remainder(6)
    return value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)


def per_image(value: Tensor, x: Tensor) -> Tensor:
    """A number for each image, (B,), in a shape that goes with images (B, C, *S)."""
    return value.view(-1, *[1] * (x.ndim - 1))
