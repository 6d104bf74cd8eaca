"""Follow-up: what is new, gone, grown between two scans of a patient.

The way of the data: two exams -> what is comparable -> registration -> who is who -> what changed, each with the limit
that decided (`compare`). Sizes are measured on the scans as they are; the registration finds partners and measures
nothing.
"""
