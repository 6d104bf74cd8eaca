"""The boundary of one file: whatever happens inside leaves as one of our own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import CalcimapError, LimitError, ReadError
from .source import cannot_read


@contextmanager
def typed(path: Path | None) -> Iterator[None]:
    """Turn every error into a typed one about `path`.

    Codecs and parsers let dozens of types escape on damaged files, among them panics of compiled code that are no
    `Exception`; only what stops the program on purpose passes.
    """
    try:
        yield
    except CalcimapError as error:
        error.path = error.path or path
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError:
        raise LimitError("too_large", "reading the file needs more memory than there is", path) from None
    except OSError as error:
        raise cannot_read(error, path) from None
    except BaseException as error:
        text = f"the file is damaged ({type(error).__name__}); get it again from its source"
        raise ReadError("unreadable", text, path) from None
