"""The files of a series, opened as their slices ask for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import ReadError
from ..series import Instance
from . import codecs
from .archives import members
from .dicomfile import DEFLATED, data_set
from .frames import Span, frame_spans
from .guard import typed
from .limits import check_voxels
from .params import ReadParams
from .source import FileSource, MemorySource, Source, open_source

Key = tuple[Path, int]


class OpenedFiles:
    """Sources by image, safe to use from several threads.

    What would have to be done again for each slice is done once: members of archives are read in one pass, deflated
    multi-frame files are inflated, the fragments of encapsulated ones are listed.
    """

    def __init__(self, instances: Sequence[Instance], params: ReadParams) -> None:
        self._params = params
        self._kept: dict[Key, Source] = {}
        self._spans: dict[Key, list[list[Span]]] = {}
        self._read_members(instances)
        frames = Counter(_key(i) for i in instances)
        for instance in {_key(i): i for i in instances if frames[_key(i)] > 1}.values():
            self._prepare(instance)

    @contextmanager
    def source(self, instance: Instance) -> Iterator[Source]:
        """The data set that holds an image; errors are typed and carry the file."""
        with typed(instance.place):
            kept = self._kept.get(_key(instance))
            if kept is not None:
                yield kept
                return
            with open_source(instance.path) as file:
                yield self._data_set(instance, file)

    def spans(self, instance: Instance) -> list[Span] | None:
        """The fragments of an image where they were listed; None where reading has to list them."""
        spans = self._spans.get(_key(instance))
        return None if spans is None else spans[instance.frame]

    def _data_set(self, instance: Instance, file: FileSource | MemorySource) -> Source:
        pixels = instance.pixels
        assert pixels is not None  # checked when the series was found
        if (file.size, file.modified_ns) != (pixels.file_size, pixels.modified_ns):
            raise ReadError("unreadable", "the file changed while it was read; run again")
        return data_set(file, pixels.syntax, self._params)

    def _prepare(self, instance: Instance) -> None:
        pixels = instance.pixels
        assert pixels is not None
        with self.source(instance) as source:
            if pixels.syntax == DEFLATED:
                self._kept[_key(instance)] = source
            if codecs.syntax_of(pixels.syntax).codec:
                self._spans[_key(instance)] = frame_spans(source, pixels.offset, instance.frames)

    def _read_members(self, instances: Sequence[Instance]) -> None:
        wanted: dict[Path, dict[int, Instance]] = defaultdict(dict)
        for instance in instances:
            if instance.member:
                wanted[instance.path][instance.entry] = instance
        for path, entries in wanted.items():
            held = sum(i.pixels.file_size for i in entries.values() if i.pixels is not None)
            check_voxels(held // 2, self._params, path)  # beside the volume, in the unit of its limit
            with typed(path):
                modified = path.stat().st_mtime_ns
                for member in members(path, self._params, entries):
                    if not member.reason:
                        instance = entries[member.entry]
                        source = self._data_set(instance, MemorySource(member.data, modified))
                        self._kept[_key(instance)] = source
            if any(_key(i) not in self._kept for i in entries.values()):
                raise ReadError("unreadable", "the archive changed while it was read; run again", path)


def _key(instance: Instance) -> Key:
    return instance.path, instance.entry
