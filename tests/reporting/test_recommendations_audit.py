"""Advice of the audit appears with its evidence, and only then."""

from __future__ import annotations

from types import SimpleNamespace

from tenfold.core.records.audit import AuditRecord
from tenfold.reporting.recommendations import recommendations
from tenfold.reporting.recommendations_audit import about_audit


def _actions(audit: AuditRecord) -> str:
    return " ".join(f"{advice.action} {advice.evidence}" for advice in about_audit(audit))


def test_labels_conflicts_and_leaks_lead_to_advice(builder: SimpleNamespace) -> None:
    study = builder.cifar_study()
    assert study.audit is not None
    text = _actions(study.audit)
    assert "--corrections" in text
    assert "different labels" in text
    assert "Quote the score without the test images that leak" in text
    told = [advice.action for advice in recommendations(study)]
    assert all(advice.action in told for advice in about_audit(study.audit))


def test_clean_data_lead_to_none(builder: SimpleNamespace) -> None:
    audit = builder.cifar_study().audit
    none = {"exact": 0, "near": 0, "other_label": 0}
    duplicates = audit.duplicates.model_copy(
        update={
            "leaked_test_images": 0,
            **{
                part: getattr(audit.duplicates, part).model_copy(update=none)
                for part in ("within_train", "within_test", "across")
            },
        }
    )
    labels = tuple(labels.model_copy(update={"flagged": 0}) for labels in audit.labels)
    clean = audit.model_copy(update={"duplicates": duplicates, "labels": labels})
    assert list(about_audit(clean)) == []


def test_leaks_that_change_nothing_need_no_advice(builder: SimpleNamespace) -> None:
    audit = builder.cifar_study().audit
    scores = audit.scores.model_copy(update={"without_leaks": audit.scores.plain})
    assert "Quote" not in _actions(audit.model_copy(update={"scores": scores}))
