"""DICOM objects: a segmentation (SEG) and a report of measurements (SR). The only outputs that carry identity."""
