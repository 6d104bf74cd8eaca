"""What tests share: `sample_data` on the path, so that they can make DICOM series with its `dicom_writer`."""

import sys
from pathlib import Path

SAMPLE_DATA = Path(__file__).parents[1] / "sample_data"
sys.path.insert(0, str(SAMPLE_DATA))
