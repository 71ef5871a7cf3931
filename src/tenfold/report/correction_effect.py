"""What mended labels changed, in words."""

from __future__ import annotations

from tenfold.core.records.review import CorrectionEffect
from tenfold.report.wording import rendered_text


def correction_effect_text(effect: CorrectionEffect) -> str:
    """Give both scores under the labels before, and under the mended ones if they differ."""
    rows = [("the labels before", effect.labels_before)]
    if effect.relabelled:
        rows.append(("the mended labels", effect.labels_after))
    return rendered_text("correction_effect.txt.j2", effect=effect, rows=rows)
