"""Takes the pictures of docs/tour.md from a run on sample_data, with Chromium: python docs/pictures/tour.py"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

import pipelines

sys.path.insert(0, str(Path(__file__).parents[2]))  # the browser of the tests
from tests.pipelines.browser import Browser

HERE = Path(__file__).parent / "tour"
SAMPLES = Path(__file__).parents[2] / "sample_data"
WIDTH = 900
"""Pixels of the pictures as they are kept."""


def shoot(browser, address, name, size):
    """A screenshot of a page, reduced."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shot.png"
        browser.visit(address, ["new Promise(r => setTimeout(() => r(1), 800))", ("shot", file)], *size)
        shot = Image.open(file).convert("RGB")
    small = shot.resize((WIDTH, round(shot.height * WIDTH / shot.width)), Image.Resampling.LANCZOS)
    small.save(HERE / f"{name}.jpg", quality=88, subsampling=0, optimize=True)


def main():
    """Run, then look."""
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile"
        profile.mkdir()
        browser = Browser(profile)
        study = pipelines.run(SAMPLES, Path(folder) / "results")
        report = (study.out / "report.html").as_uri()
        place = study.scans["scan_id"].tolist()
        abdomen = study.findings.loc[study.findings["pattern"] == "eggshell", "scan_id"].iloc[0]
        number = int(study.findings.loc[study.findings["pattern"] == "eggshell", "finding_id"].iloc[0])
        sound = study.findings.loc[study.findings["shadow_class"].isin(("present", "strong")), "scan_id"].iloc[0]
        shoot(browser, report, "summary", (1200, 980))
        shoot(browser, f"{report}#findings", "findings", (1200, 640))
        shoot(browser, f"{report}#scan-{place.index(abdomen) + 1}", "scan", (1200, 900))
        shoot(browser, f"{report}#scan-{place.index(sound) + 1}", "ultrasound", (1200, 700))
        viewer = (study.out / "scans" / abdomen / "viewer.html").as_uri()
        shoot(browser, f"{viewer}#finding={number}", "viewer", (1200, 760))
        browser.close()


if __name__ == "__main__":
    main()
