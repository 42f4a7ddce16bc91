"""Dialects of Caffe: the features of each reader of its files."""

from __future__ import annotations

from enum import StrEnum


class Dialect(StrEnum):
    """Reader for which files are written. Each property is a feature that not every reader has."""

    BVLC = "bvlc"
    """BVLC's master of 2018 and later."""
    BVLC_1_0 = "bvlc-1.0"
    """BVLC's release 1.0 of 2017, which most vendors' forks follow."""
    OPENCV = "opencv"
    """Importer of OpenCV 4."""

    @property
    def round_mode(self) -> bool:
        """True if a pooling may round down. For other readers the rows and columns added by rounding up are cut off."""
        return self is Dialect.BVLC

    @property
    def silence(self) -> bool:
        """True if a top that no layer reads must be silenced. OpenCV does not need it, and takes the last layer for the
        output."""
        return self is not Dialect.OPENCV

    @property
    def swish(self) -> bool:
        return self is Dialect.BVLC

    @property
    def clip(self) -> bool:
        return self is Dialect.BVLC

    @property
    def exact_mvn(self) -> bool:
        """True if MVN adds eps to the variance, as norms do. BVLC's adds it to the standard deviation."""
        return self is Dialect.OPENCV

    @property
    def lrn_k(self) -> bool:
        """True if an LRN may have a k other than 1. OpenCV reads it, but computes with 1."""
        return self is not Dialect.OPENCV

    @property
    def norm_after_vectors(self) -> bool:
        """True if a norm may follow a sum or a product of vectors. OpenCV up to 4.14 merges the two wrongly."""
        return self is not Dialect.OPENCV
