"""Models that researchers train on their own labels, behind the same interface as the knowledge base.

`train_model` tunes, validates by patient and calibrates; `Model` predicts and is a `imaging.Classifier`; files are
skops with a fixed allow-list. Research use only.
"""
