"""B-mode ultrasound: echogenic foci, and the acoustic shadow behind each.

``grey`` and ``overlay`` make one image of what a machine shows, ``area`` and ``beam`` find its scan lines, ``echo`` and
``focus`` find and measure foci on them, ``shadow`` and ``confidence`` what lies behind, ``track`` follows them through
a cine, ``detection`` goes the whole way and ``table`` writes it down. "No shadow" is not "no calcium".
"""
