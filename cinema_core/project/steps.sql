-- What format 8 adds.

-- What one press of Undo takes back: rows of the journal that were written together, a choice of ED and ES, or both.
CREATE TABLE edit_step (
    step_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    study_id  TEXT NOT NULL REFERENCES study (study_id),
    action    TEXT NOT NULL CHECK (action IN ('do', 'undo', 'redo')),
    first_row INTEGER REFERENCES journal (row_id),
    last_row  INTEGER REFERENCES journal (row_id),
    choice_id INTEGER REFERENCES phase_choice (choice_id),
    CHECK ((first_row IS NOT NULL OR choice_id IS NOT NULL) AND (first_row IS NULL) = (last_row IS NULL))
) STRICT;
CREATE INDEX edit_step_by_study ON edit_step (study_id, step_id);

CREATE TRIGGER edit_step_keeps_rows BEFORE UPDATE ON edit_step
BEGIN SELECT RAISE(ABORT, 'edit_step is append-only'); END;
CREATE TRIGGER edit_step_loses_none BEFORE DELETE ON edit_step
BEGIN SELECT RAISE(ABORT, 'edit_step is append-only'); END;
CREATE TRIGGER edit_step_replaces_none BEFORE INSERT ON edit_step WHEN EXISTS (SELECT 1 FROM edit_step WHERE step_id = NEW.step_id)
BEGIN SELECT RAISE(ABORT, 'edit_step is append-only'); END;
