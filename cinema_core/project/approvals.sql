-- What format 7 adds.

-- A reader who vouches for ED and ES of a study as they were drawn at a position of the journal; the newest row counts.
CREATE TABLE approval (
    approval_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    study_id         TEXT NOT NULL REFERENCES study (study_id),
    phases           TEXT NOT NULL,        -- JSON: ED and ES of the LV, of the RV; from 0, null for none
    choices          TEXT NOT NULL,        -- JSON: what the report was made by, as in report_choices
    journal_position INTEGER NOT NULL CHECK (journal_position >= 0),
    reader           TEXT NOT NULL CHECK (reader <> ''),
    utc              TEXT NOT NULL
) STRICT;
CREATE INDEX approval_by_study ON approval (study_id, approval_id);

-- What a reader entered and chose for the report of a study; the newest row counts.
CREATE TABLE report_choices (
    choice_id INTEGER PRIMARY KEY AUTOINCREMENT,
    study_id  TEXT NOT NULL REFERENCES study (study_id),
    choices   TEXT NOT NULL,               -- JSON: sex, age, height, weight, table, rules
    reader    TEXT NOT NULL,
    utc       TEXT NOT NULL
) STRICT;
CREATE INDEX report_choices_by_study ON report_choices (study_id, choice_id);

CREATE TRIGGER approval_keeps_rows BEFORE UPDATE ON approval
BEGIN SELECT RAISE(ABORT, 'approval is append-only'); END;
CREATE TRIGGER approval_loses_none BEFORE DELETE ON approval
BEGIN SELECT RAISE(ABORT, 'approval is append-only'); END;
CREATE TRIGGER approval_replaces_none BEFORE INSERT ON approval WHEN EXISTS (SELECT 1 FROM approval WHERE approval_id = NEW.approval_id)
BEGIN SELECT RAISE(ABORT, 'approval is append-only'); END;

CREATE TRIGGER report_choices_keeps_rows BEFORE UPDATE ON report_choices
BEGIN SELECT RAISE(ABORT, 'report_choices are append-only'); END;
CREATE TRIGGER report_choices_loses_none BEFORE DELETE ON report_choices
BEGIN SELECT RAISE(ABORT, 'report_choices are append-only'); END;
CREATE TRIGGER report_choices_replaces_none BEFORE INSERT ON report_choices WHEN EXISTS (SELECT 1 FROM report_choices WHERE choice_id = NEW.choice_id)
BEGIN SELECT RAISE(ABORT, 'report_choices are append-only'); END;
