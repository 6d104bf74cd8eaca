"""What a header may say in tables: closed lists, so that nothing that identifies a person can pass through
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MANUFACTURERS: dict[str, str] = {
    "siemens": "Siemens",
    "philips": "Philips",
    "ge medical": "GE",
    "ge health": "GE",
    "general electric": "GE",
    "gems": "GE",
    "toshiba": "Canon/Toshiba",
    "canon": "Canon/Toshiba",
    "tmsc": "Canon/Toshiba",
    "hitachi": "Hitachi/Fujifilm",
    "fujifilm": "Hitachi/Fujifilm",
    "neusoft": "Neusoft",
    "united imaging": "United Imaging",
    "uih": "United Imaging",
    "samsung": "Samsung",
    "neurologica": "NeuroLogica",
    "picker": "Picker",
    "elscint": "Elscint",
    "marconi": "Marconi",
    "shimadzu": "Shimadzu",
    "minfound": "MinFound",
    "anke": "Anke",
    "accuray": "Accuray",
    "varian": "Varian",
    "elekta": "Elekta",
    "planmeca": "Planmeca",
    "esaote": "Esaote",
    "mindray": "Mindray",
    "acuson": "Siemens",
}
"""Beginning or part of Manufacturer, lower case -> the name that is reported."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KERNELS = _words(
    # GE
    "STANDARD STND SOFT DETAIL BONE BONEPLUS BONE+ LUNG EDGE CHST CHEST ULTRA HD_STANDARD SMOOTH SHARP "
    # Philips, Marconi
    "A B C CB D E EB EC F L SA SB SC UA UB UC YA YB YC YD YE "
    # United Imaging, Neusoft and others
    "B_SOFT_A B_SOFT_B B_SOFT_C B_SHARP_A B_SHARP_B B_SHARP_C"
)
_KERNEL_FORMS = re.compile(
    r"[A-Z][a-z]?\d{2,3}[a-z]?(\\[1-5])?"  # Siemens: B30f, Br40d\3, I31f\2
    r"|FC\d{2}[A-Z]?(-H)?|FL\d{2}"  # Canon
    r"|IMR\d?"  # Philips
)
_HOUNSFIELD = _words("HU HUS HOUNSFIELD HOUNSFIELDS HOUNSFIELDUNIT HOUNSFIELDUNITS HOUNSFIELDSUNITS HUNITS")
_CONE_BEAM_MAKERS = re.compile(
    # Dental and extremity scanners
    r"planmeca|carestream|sirona|dentsply|morita|j\.? ?morita|newtom|qr s\.?r\.?l|cefla|imaging sciences|kavo|gendex|"
    r"instrumentarium dental|soredex|palodex|vatech|e-?woo|owandy|genoray|rayscan|hdx ?will|asahi roentgen|prexion|"
    r"curve ?beam|largev|pointnix",
    re.IGNORECASE,
)
_CONE_BEAM_MODELS = re.compile(
    # Linear accelerators, then C-arms
    r"\bCBCT\b|cone.?beam|on-?board imager|\bOBI\b|truebeam|halcyon|\bethos\b|probeam|\bXVI\b|tomotherapy|hi-?art|"
    r"radixact|artis|dynact|xperct|allura|azurion|\bo-?arm\b|\bcios\b|ziehm|i-?cat\b",
    re.IGNORECASE,
)
_BODY_PARTS = _words(
    "ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BILEDUCT BLADDER BRAIN BREAST BRONCHUS BUTTOCK "
    "CALCANEUS CALF CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS CLAVICLE "
    "COCCYX COLON CORNEA CORONARYARTERY CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE "
    "FEMUR FINGER FOOT GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS ILEUM ILIUM JAW JEJUNUM KIDNEY KNEE "
    "LARYNX LEG LIVER LSPINE LSSPINE LUNG MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NECKCHESTABDOMEN "
    "NECKCHESTABDPELV NOSE ORBIT OVARY PANCREAS PAROTID PATELLA PELVIS PENIS PHARYNX PROSTATE RECTUM RIB SACRUM "
    "SCALP SCAPULA SCLERA SCROTUM SHOULDER SKULL SPINE SPLEEN SSPINE STERNUM STOMACH SUBMANDIBULAR TESTIS THIGH "
    "THUMB THYMUS THYROID TLSPINE TMJ TOE TONGUE TRACHEA TSPINE UMBILICUS URETER URETHRA UTERUS VAGINA VULVA "
    "WHOLEBODY WRIST ZYGOMA"
)
_POSITIONS = _words("HFP HFS HFDR HFDL FFP FFS FFDR FFDL LFP LFS RFP RFS AFDR AFDL PFDR PFDL")


def kernel(text: str) -> str | None:
    """`text` where it has the form of a vendor's kernel name (``Br40d``, ``STANDARD``, ``FC12``), else None."""
    name = text.strip()
    known = name.upper().replace(" ", "_") in _KERNELS
    return name if known or _KERNEL_FORMS.fullmatch(name) else None


def manufacturer(text: str) -> str | None:
    """The known vendor that `text` names, or None."""
    name = text.strip().lower()
    if name == "ge" or name.startswith("ge "):
        return "GE"
    return next((known for part, known in MANUFACTURERS.items() if part in name), None)


def rescale_type(text: str) -> str:
    """RescaleType in capitals; ``HU`` for the words that are written for it (``Hounsfield Units``, ``[HU]``)."""
    letters = re.sub("[^A-Z]", "", text.upper())
    return "HU" if letters in _HOUNSFIELD else text.strip().upper()


def is_cone_beam(maker: str, model: str, image_type: Iterable[str]) -> bool:
    """Whether a CT comes from a cone-beam or megavolt scanner, whose values are not calibrated HU.

    Parameters
    ----------
    maker, model : str
        Manufacturer and ManufacturerModelName.
    image_type : iterable of str
        ImageType.
    """
    words = {word for part in image_type for word in re.split(r"[\s_]+", part.upper())}
    if words & {"CBCT", "CONEBEAM"}:
        return True
    return bool(_CONE_BEAM_MAKERS.match(maker.strip()) or _CONE_BEAM_MODELS.search(model))


def body_part(text: str) -> str | None:
    """`text` where it is a defined term of PS3.16 Annex L, else None."""
    name = text.strip().upper()
    return name if name in _BODY_PARTS else None


def patient_position(text: str) -> str | None:
    """`text` where it is a defined term of (0018,5100), else None."""
    name = text.strip().upper()
    return name if name in _POSITIONS else None


def age_band(text: str) -> str | None:
    """An age string (``057Y``) as a band of ten years, ``90+`` above."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text.strip().upper())
    if match is None:
        return None
    days = {"D": 1, "W": 7, "M": 30, "Y": 365}[match[2]] * int(match[1])
    decade = days // 3650 * 10
    return "90+" if decade >= 90 else f"{decade}-{decade + 9}"
