"""The model card: what a reader should know before using a model, as Markdown.

After Mitchell and others, "Model Cards for Model Reporting" (arXiv 1810.03993): what it is for,
what it was trained on, how good it is and how sure that is, and where it should not be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenfold.core.records.data import AuditRecord, GroupingRecord
from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord, ProtocolRecord
from tenfold.core.records.training import ModelRecord, TrainRecord
from tenfold.report.findings.evaluation import honest_part
from tenfold.report.findings.reliability import sensitive_to
from tenfold.report.wording import rendered_text

_FEW_TEST_IMAGES = 1000
"""With fewer, a 95% interval of an accuracy is up to six points wide (Wilson)."""
_POOR_RECALL = 0.5


@dataclass(frozen=True)
class CardSources:
    """What a card is written from beside the model's own record; None for what there is not.

    Parameters
    ----------
    train, evaluate, cross_validate, audit
        Of the study.
    grouping
        Which images belong together.
    kept_images
        Training images that lie in the model folder as thumbnails.
    """

    train: TrainRecord | None = None
    evaluate: EvaluateRecord | None = None
    cross_validate: CrossValidateRecord | None = None
    audit: AuditRecord | None = None
    grouping: GroupingRecord | None = None
    kept_images: int = 0


def model_card(record: ModelRecord, sources: CardSources) -> str:
    """Give the card."""
    evaluate = sources.evaluate
    classes = (
        list(zip(evaluate.scores.classes, evaluate.intervals.classes, strict=True))
        if evaluate is not None
        else []
    )
    card = rendered_text(
        "model_card.md.j2",
        record=record,
        honest_part=honest_part,
        sources=sources,
        folds=_fresh_folds(sources.cross_validate),
        few_test_images=_FEW_TEST_IMAGES,
        classes=classes,
        untested=[one for one, _ in classes if not one.total_cases],
        poor=[
            (one, ends) for one, ends in classes if one.total_cases and one.recall < _POOR_RECALL
        ],
        robustness=None if evaluate is None else evaluate.robustness,
        sensitive_to=sensitive_to,
    )
    return f"{card}\n"


def _fresh_folds(cross_validate: CrossValidateRecord | None) -> ProtocolRecord | None:
    """Give the folds whose scores are those of new models on images they never saw."""
    for protocol in () if cross_validate is None else cross_validate.protocols:
        if not protocol.is_leaky and "accuracy" in protocol.intervals:
            return protocol
    return None
