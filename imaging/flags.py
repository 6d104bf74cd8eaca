"""Quality flags: one table gives the column, its decoding and its documentation."""

from __future__ import annotations

FLAGS: dict[str, str] = {
    # of a scan
    "derived": "the series is marked DERIVED (reformatted or processed); measured as it is",
    "padded": "padding was masked: those voxels are in no threshold, mean or mesh",
    "tilted": "the grid is sheared (gantry tilt): volumes by the determinant, lengths in true mm",
    "single_slice": "one slice: its thickness is not known from positions, skeleton is not separated",
    "hu_unreliable": "values are probably not calibrated HU",
    "few_slices": "thinner than 15 mm along the slice normal: skeleton is poorly separated",
    "noise_from_whole_image": "too little soft tissue for the block noise estimate; all valid voxels were used",
    "contrast_enhanced": "large homogeneous regions above 95 HU: contrast agent; thresholds raised",
    "bone_given": "skeleton from the given anatomy masks instead of our own estimate",
    "body_not_found": "no body could be outlined; nothing was left out as outside",
    "missing_pixel_spacing": "no pixel spacing",
    "duplicates_removed": "identical copies of slices were dropped",
    "spacing_jitter": "slice distances vary by more than 0.1 %, within tolerance",
    "slices_apart": "slice spacing exceeds slice thickness by over 10 %: tissue between slices was not scanned",
    "gap_split": "a part of a series with missing slices, cut at the gap (on_gap = split)",
    "gap_filled": "missing slices were interpolated between their neighbours (on_gap = fill)",
    "hu_assumed": "no rescale slope and intercept; stored values taken as HU on request (assume_hu)",
    "files_unreadable": "files beside those of the series could not be read: slices at its ends may be missing",
    "region_clamped": "an ultrasound region reached one pixel beyond the frame and was clamped",
    "region_dropped": "an ultrasound region lies outside the frame or is not usable, and was left out",
    "capture": "a PNG or JPEG screen capture: no header, lengths in pixels unless the pixel spacing was given",
    "spacing_given": "the pixel spacing of a screen capture was given on request (reading.pixel_spacing_mm)",
    "uncalibrated": "ultrasound without a calibrated region: lengths in pixels, in _px columns, never in mm",
    "no_image_area": "no lit area was found in the frame: nothing to look at",
    "scan_lines_assumed": "the shape of the image area could not be told: scan lines are taken for upright",
    "no_preamble": "files without DICOM preamble were read",
    # of a finding
    "touches_border": "reaches the first or last slice, row or column, or padding: may be cut off",
    "few_voxels": "fewer than 8 voxels or less than 2 along an axis: size and shape are limited by resolution",
    "below_resolution": "half-maximum diameter below 3 times the largest spacing: size is an upper bound",
    "touches_bone": "was connected to a larger dense structure (bone, or contrast) and split off by rising thresholds",
    "lobe_estimated": "left or right in the liver is estimated from the position in its mask, which has no lobes",
    "shell_kept": "larger than the size limit for candidates, kept because it is a thin shell",
    "mass_kept": "larger than the size limit for candidates, kept because it is compact, solid and densest inside",
    "given": "from a given segmentation, measured as it is",
    "halfmax_fallback": "no half-maximum mask could be grown; the detection mask stands in for it",
    "no_plateau": "no level inside that partial volume leaves alone, or no background: no integrated volume",
    "single_slice_finding": "lies in one slice: no extent along the slice normal can be measured",
    "coarse_label": "slice spacing above 1.5 mm: pattern from the coarse vocabulary",
    "in_plane_label": "slice spacing above 3.5 mm: pattern from what a thick slice shows in its plane",
    "not_scored": "calcium scores are missing: contrast-enhanced, no limits for the tube voltage, or no HU",
    "score_enhanced": "calcium scores of a contrast-enhanced scan, computed on request: not comparable with others",
    "score_kvp_assumed": "the header tells no tube voltage; calcium scores take it as 120 kV",
    "score_grown": "mask taken above the threshold of the score, which reaches 2 mm beyond it in its slices only",
    "score_cut": "split off a larger structure above the score's threshold: calcium scores are lower bounds",
    "distal_enhancement": "brighter behind than beside: fluid rather than calcium",
    "interface": "long, thin and smooth: a surface, seen where the beam meets it at right angles",
    "bone_like": "a long surface with a dark shadow to the end of the image: as of bone",
    "no_tissue_beside": "the shadow is as wide as the view; judged by the tissue in front",
    "one_sided": "tissue to compare with on one side only: the shadow is called weak at most",
    "one_frame": "seen in one frame of a cine",
    "reverberation": "echoes behind repeat at equal distances",
    "comet_tail": "bright repeats behind a focus without shadow: crystals, colloid or gas",
    "near_metal": "within 15 mm of metal: streaks may change HU",
    "kept_bone_adjacent": "from the list of bone-adjacent candidates, kept on request",
    "kept_skin": "from the list of candidates within 5 mm of the skin, kept on request",
    "kept_chest_wall": "from the list of chest-wall candidates, kept on request",
}
"""Code -> meaning. In tables flags are joined by ';'."""


def join(*codes: str) -> str:
    """Flag codes as they stand in a table: sorted, unique, joined by ';'.

    Raises
    ------
    KeyError
        A code that is not in `FLAGS`: a flag without meaning is a mistake of the programmer.
    """
    for code in codes:
        if code not in FLAGS:
            raise KeyError(f"unknown flag {code!r}")
    return ";".join(sorted(set(codes)))
