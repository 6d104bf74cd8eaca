"""From folders, files and archives to series, and from a series to a `Volume`.

``discover`` walks and sorts files (``source``, ``archives``, ``dicomfile``, ``elements``, ``headers``, ``functional``,
``ultrasound``, ``kinds``, ``vocabulary``), ``grouping`` makes series of them (``splitting``, ``grids``, ``losses``);
``read`` turns one series into a volume (``opened``, ``slices``, ``pixels``, ``frames``, ``codecs``, ``values``);
``rasters`` does both for NIfTI and NRRD; ``masks`` reads masks onto the grid of a scan. ``params`` has every limit and
choice, ``limits`` and ``guard`` keep them.
"""
