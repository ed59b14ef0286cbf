"""The child process of ``vips_copy``: knows libvips alone, so that it starts fast.

Run with ``python -m`` and ``SOURCE TARGET FAIL_ON BLOCK_SIDE copy|pyramid``.
Prints the share that is done; what else it prints is a complaint.
"""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["PEAK", "VIPS_CANNOT_WRITE", "VIPS_FAILED", "VIPS_SKIPS_CHECKSUMS"]

PEAK = "peak bytes: "
"""How the line begins that tells the memory that the process held at most."""

VIPS_FAILED = 3
"""Exit code: libvips is there, and refused the source or the target."""

VIPS_SKIPS_CHECKSUMS = 4
"""Exit code: the copy is made, of a PNG whose checksums nobody looked at."""


VIPS_CANNOT_WRITE = 5
"""Exit code: nothing is wrong with the source, but the target cannot be written."""

_OF_THE_DISK = [os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]


def _show(_image: object, progress: object) -> None:
    try:
        print(progress.percent / 100, flush=True)  # type: ignore[attr-defined]
    except OSError:
        os._exit(1)  # whoever asked is gone


def _copy(source: str, target: str, fail_on: str, block_side: str, kind: str) -> int:
    import pyvips

    try:
        image = pyvips.Image.new_from_file(
            source, access="sequential", fail_on=fail_on, revalidate=True
        )
        image.set_progress(True)
        image.signal_connect("eval", _show)
        image.tiffsave(
            target,
            tile=True,
            tile_width=int(block_side),
            tile_height=int(block_side),
            pyramid=kind == "pyramid",
            region_shrink="mean",
            compression="none",
            bigtiff=True,
            keep="none",
        )
        is_png = image.get("vips-loader") == "pngload"
    except pyvips.Error as error:
        complaint = " ".join(str(error).split())
        print(complaint)
        is_about_target = f"{target}: write error" in complaint
        if is_about_target or any(reason in complaint for reason in _OF_THE_DISK):
            return VIPS_CANNOT_WRITE
        return VIPS_FAILED
    return VIPS_SKIPS_CHECKSUMS if is_png and not _checks_png(fail_on) else 0


def _checks_png(fail_on: str) -> bool:
    """Whether this libvips refuses a PNG with a wrong checksum: it may have one of two decoders."""
    import pyvips

    picture = bytearray(pyvips.Image.black(1, 1).pngsave_buffer())
    length_at = picture.index(b"IDAT") - 4
    checksum_at = length_at + 8 + int.from_bytes(picture[length_at : length_at + 4], "big")
    picture[checksum_at] ^= 1
    try:
        pyvips.Image.new_from_buffer(bytes(picture), "", access="sequential", fail_on=fail_on).avg()
    except pyvips.Error:
        return True
    return False


def _tell_peak() -> None:
    """Print the peak memory of this process in bytes, where the system tells it.

    ``VmHWM`` begins anew with each program; ``getrusage`` would count what the parent held, too.
    """
    try:
        with open("/proc/self/status", "rb") as file:  # noqa: PTH123  (starts without pathlib)
            for line in file:
                if line.startswith(b"VmHWM:"):
                    print(f"{PEAK}{int(line.split()[1]) * 1024}", flush=True)
    except (OSError, ValueError):
        return


if __name__ == "__main__":
    code = _copy(*sys.argv[1:6])
    _tell_peak()
    sys.exit(code)
