"""From folders and files to series, and from a series to a `Volume`.

``discover`` walks and sorts files (``dicomfile``, ``headers``, ``vocabulary``, ``grouping``), ``read`` turns one series
into a volume (``grids``, ``codecs``, ``values``, ``limits``); ``rasters`` does both for NIfTI and NRRD; ``masks`` reads
masks onto the grid of a scan.
"""
