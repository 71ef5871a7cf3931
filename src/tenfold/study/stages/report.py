"""Report: one page from the run folder, which is all that it reads."""

from __future__ import annotations

from typing import Any

from tenfold.core.stages import shown_stages
from tenfold.study.recipe import StudySettings
from tenfold.study.stages.stage import Stage, StageContext


class ReportStage(Stage):
    """Shows whatever stages are complete."""

    name = "report"
    position = 9
    version = 6
    summary = "write the report page"

    @property
    def reads_if_complete(self) -> tuple[str, ...]:
        """Give all stages but those that it needs: it shows what there is."""
        return shown_stages()

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give all settings: the page shows them."""
        return settings.plain()

    def run(self, context: StageContext) -> None:
        """Write the page and its figures."""
        # matplotlib is slow to import, which a study that is complete should not wait for.
        from tenfold.report.page import write_report
        from tenfold.report.records import read_study_records

        records = read_study_records(
            context.run_folder, shown=context.inputs, notices=context.notices
        )
        write_report(records, context.folder)


STAGE = ReportStage()
