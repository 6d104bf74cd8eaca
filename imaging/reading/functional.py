"""Functional groups: what an enhanced or legacy converted CT says of each of its frames."""

from __future__ import annotations

from collections.abc import Iterator

from .elements import NONE, Elements, tags

TAGS = tags(
    "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence FrameContentSequence PixelMeasuresSequence "
    "PixelValueTransformationSequence PlanePositionSequence PlaneOrientationSequence CTReconstructionSequence "
    "CTXRayDetailsSequence CTImageFrameTypeSequence FrameAcquisitionNumber TemporalPositionIndex StackID FrameType "
    "UnassignedSharedConvertedAttributesSequence UnassignedPerFrameConvertedAttributesSequence ContrastBolusAgent "
    "ContrastBolusAgentSequence CTExposureSequence KVP ConvolutionKernel AcquisitionNumber RescaleSlope "
    "RescaleIntercept RescaleType SliceThickness PixelSpacing ImagePositionPatient ImageOrientationPatient "
    "TemporalPositionIdentifier SpacingBetweenSlices ImageType"
)
_CONVERTED = ("UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence")


class Frame:
    """The functional groups of one frame: its own, and the shared ones where its own are silent."""

    def __init__(self, own: Elements, shared: Elements, whole: Elements) -> None:
        self._groups = (own, shared)
        self._whole = whole

    def macro(self, keyword: str) -> Elements:
        """The item of a functional group; one without elements where there is none."""
        for group in self._groups:
            found = group.first(keyword)
            if found:
                return found
        return NONE

    def fact(self, macro: str, keyword: str, old: str = "") -> str:
        """A text of a functional group, else of what a legacy conversion left unassigned, else of the file."""
        found = self.macro(macro).text(keyword)
        for group in _CONVERTED:
            found = found or self.macro(group).text(old or keyword)
        return found or self._whole.text(old or keyword)


def frames(elements: Elements, count: int) -> Iterator[Frame]:
    """The frames that are described, at most `count`, at least one.

    NumberOfFrames is a number in a header, not a promise: there are as many frames here as there are groups.
    """
    shared = elements.first("SharedFunctionalGroupsSequence")
    own = elements.items("PerFrameFunctionalGroupsSequence")
    for index in range(max(1, min(count, len(own)))):
        yield Frame(own[index] if index < len(own) else NONE, shared, elements)
