"""calcimap's library: find, measure, name and classify calcifications on CT and B-mode ultrasound.

Arrays are (slice, row, column); positions are patient LPS in mm; CT is in HU. Stages are functions between frozen
values: ``find_series -> read_volume -> detect -> measure -> score -> group -> name_patterns -> classify``.
Research use only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .anatomy import Anatomy
    from .classification import Classifier, classify, rank_hypotheses
    from .clip import Clip
    from .columns import BURDEN, EXCLUDED, FINDINGS, GROUPS, HYPOTHESES, Column, conform
    from .components import Components
    from .detection import Detection, detect
    from .echo_groups import group_echoes, summarize_echo_groups
    from .echo_patterns import ECHO_RULES, name_echo_patterns
    from .errors import (
        REASONS,
        CalcimapError,
        CodecError,
        GeometryError,
        LimitError,
        ReadError,
        RefusedError,
        TruncatedError,
        UsageError,
        ValuesError,
    )
    from .excluded import describe_excluded
    from .features import FEATURES, Feature, feature, features_page, measure
    from .flags import FLAGS
    from .followup.change import volume_limit
    from .followup.columns import BURDEN_CHANGES, CHANGES, STATES, TIMELINE
    from .followup.comparability import SAME_THRESHOLD_HU, Comparability, comparability
    from .followup.compare import Comparison, compare, register_exams
    from .followup.exam import Exam
    from .followup.params import FollowupParams, Limits
    from .followup.registration import Registration
    from .followup.repeatability import Perturbation, differences, estimate_limits, repeats_of
    from .followup.timeline import Timeline, follow
    from .geometry import axis_letters
    from .groups import group, summarize_groups
    from .knowledge.base import Entity, entities, load_entities
    from .knowledge.context import Context
    from .knowledge.rules import RuleClassifier, rule_classifier
    from .knowledge.wording import NOTICE, listing
    from .learning.files import dump_model, load_model
    from .learning.model import Model, predict
    from .learning.training import Training, train_model
    from .pages import Section, page
    from .params import DetectionParams
    from .pattern_page import patterns_page
    from .patterns import RULES, VOCABULARY, Rule, name_patterns
    from .reading.anatomy import read_anatomy
    from .reading.clips import read_clip
    from .reading.codecs import decoders
    from .reading.discover import find_series
    from .reading.identity import Identity, read_identity
    from .reading.labelmaps import TRACKING_ID, read_label_map
    from .reading.masks import read_mask
    from .reading.params import ReadParams
    from .reading.read import read_volume
    from .scores import (
        SCORES,
        Calibration,
        ScoreDefinition,
        ScoreParams,
        Scoring,
        burden,
        score,
        scores_page,
        scoring_of,
    )
    from .separate import EXCLUSION_REASONS
    from .series import FACTS, Found, Instance, Region, Series
    from .ultrasound.confidence import confidence_map
    from .ultrasound.detection import ECHO_REASONS, Echoes, find_echoes
    from .ultrasound.params import UltrasoundParams
    from .ultrasound.table import describe_left_out, measure_echoes
    from .volume import Volume

# Where each public name lives. Loaded on first use, so that `import imaging` and `calcimap --help` stay quick.
_HOME = {
    "Anatomy": "anatomy",
    "Classifier": "classification", "classify": "classification", "rank_hypotheses": "classification",
    "Entity": "knowledge.base", "entities": "knowledge.base", "load_entities": "knowledge.base",
    "Context": "knowledge.context",
    "RuleClassifier": "knowledge.rules", "rule_classifier": "knowledge.rules",
    "NOTICE": "knowledge.wording", "listing": "knowledge.wording",
    "decoders": "reading.codecs",
    "BURDEN": "columns", "EXCLUDED": "columns", "FINDINGS": "columns", "GROUPS": "columns", "HYPOTHESES": "columns",
    "Column": "columns", "conform": "columns",
    "Components": "components",
    "Detection": "detection", "detect": "detection",
    "find_series": "reading.discover",
    "Clip": "clip",
    "ECHO_REASONS": "ultrasound.detection", "Echoes": "ultrasound.detection", "find_echoes": "ultrasound.detection",
    "ECHO_RULES": "echo_patterns", "name_echo_patterns": "echo_patterns",
    "UltrasoundParams": "ultrasound.params",
    "describe_left_out": "ultrasound.table", "measure_echoes": "ultrasound.table",
    "confidence_map": "ultrasound.confidence",
    "read_clip": "reading.clips",
    "axis_letters": "geometry",
    "REASONS": "errors", "CalcimapError": "errors", "CodecError": "errors", "GeometryError": "errors",
    "LimitError": "errors", "ReadError": "errors", "RefusedError": "errors", "TruncatedError": "errors",
    "UsageError": "errors", "ValuesError": "errors",
    "describe_excluded": "excluded",
    "FEATURES": "features", "Feature": "features", "feature": "features", "measure": "features",
    "features_page": "features",
    "FLAGS": "flags",
    "group_echoes": "echo_groups", "summarize_echo_groups": "echo_groups",
    "BURDEN_CHANGES": "followup.columns", "CHANGES": "followup.columns", "STATES": "followup.columns",
    "TIMELINE": "followup.columns",
    "SAME_THRESHOLD_HU": "followup.comparability",
    "Comparability": "followup.comparability", "comparability": "followup.comparability",
    "Comparison": "followup.compare", "compare": "followup.compare", "register_exams": "followup.compare",
    "Exam": "followup.exam",
    "FollowupParams": "followup.params", "Limits": "followup.params", "Registration": "followup.registration",
    "Perturbation": "followup.repeatability", "differences": "followup.repeatability",
    "estimate_limits": "followup.repeatability", "repeats_of": "followup.repeatability",
    "Timeline": "followup.timeline", "follow": "followup.timeline", "volume_limit": "followup.change",
    "group": "groups", "summarize_groups": "groups",
    "dump_model": "learning.files", "load_model": "learning.files",
    "Model": "learning.model", "predict": "learning.model",
    "Training": "learning.training", "train_model": "learning.training",
    "read_anatomy": "reading.anatomy", "read_mask": "reading.masks",
    "Identity": "reading.identity", "read_identity": "reading.identity",
    "TRACKING_ID": "reading.labelmaps", "read_label_map": "reading.labelmaps",
    "DetectionParams": "params",
    "Section": "pages", "page": "pages", "patterns_page": "pattern_page",
    "RULES": "patterns", "VOCABULARY": "patterns", "Rule": "patterns", "name_patterns": "patterns",
    "ReadParams": "reading.params",
    "read_volume": "reading.read",
    "SCORES": "scores", "Calibration": "scores", "ScoreDefinition": "scores", "ScoreParams": "scores",
    "Scoring": "scores", "burden": "scores", "score": "scores", "scores_page": "scores", "scoring_of": "scores",
    "EXCLUSION_REASONS": "separate",
    "FACTS": "series", "Found": "series", "Instance": "series", "Region": "series", "Series": "series",
    "Volume": "volume",
}  # fmt: skip

__all__ = [
    "BURDEN",
    "BURDEN_CHANGES",
    "CHANGES",
    "ECHO_REASONS",
    "ECHO_RULES",
    "EXCLUDED",
    "EXCLUSION_REASONS",
    "FACTS",
    "FEATURES",
    "FINDINGS",
    "FLAGS",
    "GROUPS",
    "HYPOTHESES",
    "NOTICE",
    "REASONS",
    "RULES",
    "SAME_THRESHOLD_HU",
    "SCORES",
    "STATES",
    "TIMELINE",
    "TRACKING_ID",
    "VOCABULARY",
    "Anatomy",
    "CalcimapError",
    "Calibration",
    "Classifier",
    "Clip",
    "CodecError",
    "Column",
    "Comparability",
    "Comparison",
    "Components",
    "Context",
    "Detection",
    "DetectionParams",
    "Echoes",
    "Entity",
    "Exam",
    "Feature",
    "FollowupParams",
    "Found",
    "GeometryError",
    "Identity",
    "Instance",
    "LimitError",
    "Limits",
    "Model",
    "Perturbation",
    "ReadError",
    "ReadParams",
    "RefusedError",
    "Region",
    "Registration",
    "Rule",
    "RuleClassifier",
    "ScoreDefinition",
    "ScoreParams",
    "Scoring",
    "Section",
    "Series",
    "Timeline",
    "Training",
    "TruncatedError",
    "UltrasoundParams",
    "UsageError",
    "ValuesError",
    "Volume",
    "axis_letters",
    "burden",
    "classify",
    "comparability",
    "compare",
    "confidence_map",
    "conform",
    "decoders",
    "describe_excluded",
    "describe_left_out",
    "detect",
    "differences",
    "dump_model",
    "entities",
    "estimate_limits",
    "feature",
    "features_page",
    "find_echoes",
    "find_series",
    "follow",
    "group",
    "group_echoes",
    "listing",
    "load_entities",
    "load_model",
    "measure",
    "measure_echoes",
    "name_echo_patterns",
    "name_patterns",
    "page",
    "patterns_page",
    "predict",
    "rank_hypotheses",
    "read_anatomy",
    "read_clip",
    "read_identity",
    "read_label_map",
    "read_mask",
    "read_volume",
    "register_exams",
    "repeats_of",
    "rule_classifier",
    "score",
    "scores_page",
    "scoring_of",
    "summarize_echo_groups",
    "summarize_groups",
    "train_model",
    "volume_limit",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
