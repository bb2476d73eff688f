-- What format 3 adds.

-- What the reader decided against the importer, one row per change; the newest row of a study counts.
-- The study is the one that was imported (its pseudonym); labels of its cines are kept under names that begin so.
CREATE TABLE import_choices (
    choice_id INTEGER PRIMARY KEY AUTOINCREMENT,
    study     TEXT NOT NULL,
    choices   TEXT NOT NULL,               -- JSON: views, apex_first, takes, by the cine's name
    reader    TEXT NOT NULL,
    utc       TEXT NOT NULL
) STRICT;
CREATE INDEX import_choices_by_study ON import_choices (study, choice_id);

CREATE TRIGGER import_choices_keeps_rows BEFORE UPDATE ON import_choices
BEGIN SELECT RAISE(ABORT, 'import_choices are append-only'); END;
CREATE TRIGGER import_choices_loses_none BEFORE DELETE ON import_choices
BEGIN SELECT RAISE(ABORT, 'import_choices are append-only'); END;
CREATE TRIGGER import_choices_replaces_none BEFORE INSERT ON import_choices WHEN EXISTS (SELECT 1 FROM import_choices WHERE choice_id = NEW.choice_id)
BEGIN SELECT RAISE(ABORT, 'import_choices are append-only'); END;
