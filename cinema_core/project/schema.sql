-- The annotation journal of one project, format 1 (PRAGMA user_version, set by database.py).
--
-- Everything that a reader or a model decided is a new row; only `study.relative_path` may change,
-- because images move. Times are UTC, ISO 8601. Phases and slices count from 0.

CREATE TABLE study (
    study_id       TEXT PRIMARY KEY,     -- pseudonym, never a name
    patient        TEXT NOT NULL,        -- pseudonym; a split never cuts through one patient
    content_sha256 TEXT NOT NULL,        -- of the cine: finds it again under another path
    relative_path  TEXT NOT NULL,        -- from the project folder; images are referenced, not copied
    cine_id        TEXT NOT NULL,
    view           TEXT NOT NULL,
    n_phases       INTEGER NOT NULL CHECK (n_phases > 0),
    n_slices       INTEGER NOT NULL CHECK (n_slices > 0),
    n_rows         INTEGER NOT NULL CHECK (n_rows > 0),
    n_columns      INTEGER NOT NULL CHECK (n_columns > 0),
    added_utc      TEXT NOT NULL
) STRICT;

-- One row per labelled slice, by model or by reader. The newest row of a slice is its label.
-- AUTOINCREMENT: a row number is never used twice, so that a report can pin one.
CREATE TABLE journal (
    row_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    parent_id    INTEGER REFERENCES journal (row_id),   -- the row that this one replaces; NULL for a slice's first
    study_id     TEXT NOT NULL REFERENCES study (study_id),
    t            INTEGER NOT NULL CHECK (t >= 0),
    z            INTEGER NOT NULL CHECK (z >= 0),
    state        TEXT NOT NULL CHECK (state IN ('absent', 'predicted', 'corrected', 'accepted')),
    tool         TEXT NOT NULL CHECK (tool <> ''),
    reader       TEXT NOT NULL,                         -- empty: the model, or a reader who gave no name
    model_sha256 TEXT NOT NULL,                         -- weights that the label started from; empty: none
    utc          TEXT NOT NULL,
    n_rows       INTEGER NOT NULL CHECK (n_rows > 0),
    n_columns    INTEGER NOT NULL CHECK (n_columns > 0),
    mask         BLOB NOT NULL                          -- zlib of uint8 (y, x), row by row
) STRICT;
CREATE INDEX journal_by_slice ON journal (study_id, t, z, row_id);

CREATE TABLE phase_choice (
    choice_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    study_id    TEXT NOT NULL REFERENCES study (study_id),
    ed_phase    INTEGER NOT NULL CHECK (ed_phase >= 0),
    es_phase    INTEGER NOT NULL CHECK (es_phase >= 0),
    rv_ed_phase INTEGER CHECK (rv_ed_phase >= 0),
    rv_es_phase INTEGER CHECK (rv_es_phase >= 0),
    source      TEXT NOT NULL CHECK (source IN ('model', 'reader')),
    reader      TEXT NOT NULL,
    utc         TEXT NOT NULL
) STRICT;

-- A patient is for training or for validation, forever: a score on labels that were once learned from is no score.
CREATE TABLE split_ledger (
    patient TEXT PRIMARY KEY,
    split   TEXT NOT NULL CHECK (split IN ('training', 'validation')),
    utc     TEXT NOT NULL
) STRICT;

CREATE TABLE model_version (
    name             TEXT PRIMARY KEY,
    model_sha256     TEXT NOT NULL,
    base_name        TEXT NOT NULL,
    base_sha256      TEXT NOT NULL,
    label_set_sha256 TEXT NOT NULL,
    journal_position INTEGER NOT NULL,
    seed             INTEGER NOT NULL,
    recipe           TEXT NOT NULL,        -- JSON
    before           TEXT NOT NULL,        -- JSON, figures of the base
    after            TEXT NOT NULL,        -- JSON, figures of this version
    utc              TEXT NOT NULL
) STRICT;

CREATE TABLE model_choice (
    choice_id INTEGER PRIMARY KEY AUTOINCREMENT,
    scope     TEXT NOT NULL,               -- 'project' or a study_id
    name      TEXT NOT NULL,
    utc       TEXT NOT NULL
) STRICT;

CREATE TABLE event (
    event_id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind             TEXT NOT NULL,
    detail           TEXT NOT NULL,        -- JSON
    journal_position INTEGER NOT NULL,
    utc              TEXT NOT NULL
) STRICT;

-- Append-only is a rule of the file, not a habit of this program. The insert triggers close the way round it:
-- INSERT OR REPLACE deletes the old row without firing its delete trigger.
CREATE TRIGGER journal_keeps_rows BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_loses_none BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_replaces_none BEFORE INSERT ON journal WHEN EXISTS (SELECT 1 FROM journal WHERE row_id = NEW.row_id)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TRIGGER phase_choice_keeps_rows BEFORE UPDATE ON phase_choice
BEGIN SELECT RAISE(ABORT, 'phase choices are append-only'); END;
CREATE TRIGGER phase_choice_loses_none BEFORE DELETE ON phase_choice
BEGIN SELECT RAISE(ABORT, 'phase choices are append-only'); END;
CREATE TRIGGER phase_choice_replaces_none BEFORE INSERT ON phase_choice WHEN EXISTS (SELECT 1 FROM phase_choice WHERE choice_id = NEW.choice_id)
BEGIN SELECT RAISE(ABORT, 'phase choices are append-only'); END;

CREATE TRIGGER split_ledger_keeps_rows BEFORE UPDATE ON split_ledger
BEGIN SELECT RAISE(ABORT, 'the split ledger is permanent'); END;
CREATE TRIGGER split_ledger_loses_none BEFORE DELETE ON split_ledger
BEGIN SELECT RAISE(ABORT, 'the split ledger is permanent'); END;
CREATE TRIGGER split_ledger_replaces_none BEFORE INSERT ON split_ledger WHEN EXISTS (SELECT 1 FROM split_ledger WHERE patient = NEW.patient)
BEGIN SELECT RAISE(ABORT, 'the split ledger is permanent'); END;

CREATE TRIGGER model_version_keeps_rows BEFORE UPDATE ON model_version
BEGIN SELECT RAISE(ABORT, 'model versions are append-only'); END;
CREATE TRIGGER model_version_loses_none BEFORE DELETE ON model_version
BEGIN SELECT RAISE(ABORT, 'model versions are append-only'); END;
CREATE TRIGGER model_version_replaces_none BEFORE INSERT ON model_version WHEN EXISTS (SELECT 1 FROM model_version WHERE name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'model versions are append-only'); END;

CREATE TRIGGER model_choice_keeps_rows BEFORE UPDATE ON model_choice
BEGIN SELECT RAISE(ABORT, 'model choices are append-only'); END;
CREATE TRIGGER model_choice_loses_none BEFORE DELETE ON model_choice
BEGIN SELECT RAISE(ABORT, 'model choices are append-only'); END;
CREATE TRIGGER model_choice_replaces_none BEFORE INSERT ON model_choice WHEN EXISTS (SELECT 1 FROM model_choice WHERE choice_id = NEW.choice_id)
BEGIN SELECT RAISE(ABORT, 'model choices are append-only'); END;

CREATE TRIGGER event_keeps_rows BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER event_loses_none BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER event_replaces_none BEFORE INSERT ON event WHEN EXISTS (SELECT 1 FROM event WHERE event_id = NEW.event_id)
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TRIGGER study_keeps_identity BEFORE UPDATE OF
    study_id, patient, content_sha256, cine_id, view, n_phases, n_slices, n_rows, n_columns, added_utc ON study
BEGIN SELECT RAISE(ABORT, 'a study keeps its identity'); END;
CREATE TRIGGER study_loses_none BEFORE DELETE ON study
BEGIN SELECT RAISE(ABORT, 'a study stays in its project'); END;
CREATE TRIGGER study_replaces_none BEFORE INSERT ON study
WHEN EXISTS (SELECT 1 FROM study WHERE study_id = NEW.study_id)
BEGIN SELECT RAISE(ABORT, 'a study keeps its identity'); END;
