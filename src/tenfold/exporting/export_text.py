"""What an export says on the terminal."""

from __future__ import annotations

from tenfold.exporting.export import Export
from tenfold.exporting.measuring import Measurement


def export_text(export: Export, place: str) -> str:
    """Give the check's result, the measurements if there are any, and the files.

    `place` says where the images are from.
    """
    parity = export.parity
    lines = [
        f"Checked against PyTorch on {parity.count:,} images of {place}: probabilities differ by "
        f"at most {parity.largest_difference:.1e}; {parity.changed:,} images get another class."
    ]
    if export.measurements:
        lines += ["", *_table(export.measurements), ""]
    lines += [f"Written: {path}" for path in export.paths]
    return "\n".join(lines)


def _table(measurements: tuple[Measurement, ...]) -> list[str]:
    return [
        f"{'':10}{'size':>10}{'accuracy':>11}{'one image':>12}{'many images':>14}",
        *(
            f"{one.name:10}{one.size_bytes / 1e6:>7.2f} MB{one.accuracy:>11.2%}"
            f"{one.image_seconds * 1e3:>9.2f} ms{one.images_per_second:>12,.0f}/s"
            for one in measurements
        ),
    ]
