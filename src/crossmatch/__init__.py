"""Semi-supervised medical image segmentation: CrossMatch and its rivals, from a handful of labelled scans."""

__version__ = "0.1.0"
