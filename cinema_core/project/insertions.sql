-- What format 9 adds.

-- Where the RV meets the LV on a slice at end-diastole, as a reader set it; the newest row of a slice counts.
CREATE TABLE insertion_points (
    insertion_id INTEGER PRIMARY KEY AUTOINCREMENT,
    study_id     TEXT NOT NULL REFERENCES study (study_id),
    z            INTEGER NOT NULL CHECK (z >= 0),
    points_yx    TEXT,                     -- JSON: the anterior one, the inferior one, in pixels; NULL: as they are found
    reader       TEXT NOT NULL,
    utc          TEXT NOT NULL
) STRICT;
CREATE INDEX insertion_points_by_slice ON insertion_points (study_id, z, insertion_id);

CREATE TRIGGER insertion_points_keeps_rows BEFORE UPDATE ON insertion_points
BEGIN SELECT RAISE(ABORT, 'insertion_points are append-only'); END;
CREATE TRIGGER insertion_points_loses_none BEFORE DELETE ON insertion_points
BEGIN SELECT RAISE(ABORT, 'insertion_points are append-only'); END;
CREATE TRIGGER insertion_points_replaces_none BEFORE INSERT ON insertion_points WHEN EXISTS (SELECT 1 FROM insertion_points WHERE insertion_id = NEW.insertion_id)
BEGIN SELECT RAISE(ABORT, 'insertion_points are append-only'); END;

-- Newest row of insertion_points when an approval was given.
ALTER TABLE approval ADD COLUMN insertion_position INTEGER NOT NULL DEFAULT 0;

-- A step may also set insertion points. SQLite cannot change what a table checks, so its rows move to a new one.
CREATE TABLE edit_step_9 (
    step_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    study_id     TEXT NOT NULL REFERENCES study (study_id),
    action       TEXT NOT NULL CHECK (action IN ('do', 'undo', 'redo')),
    first_row    INTEGER REFERENCES journal (row_id),
    last_row     INTEGER REFERENCES journal (row_id),
    choice_id    INTEGER REFERENCES phase_choice (choice_id),
    insertion_id INTEGER REFERENCES insertion_points (insertion_id),
    CHECK (
        (first_row IS NOT NULL OR choice_id IS NOT NULL OR insertion_id IS NOT NULL)
        AND (first_row IS NULL) = (last_row IS NULL)
    )
) STRICT;
INSERT INTO edit_step_9 (step_id, study_id, action, first_row, last_row, choice_id)
SELECT step_id, study_id, action, first_row, last_row, choice_id FROM edit_step ORDER BY step_id;
DROP TABLE edit_step;
ALTER TABLE edit_step_9 RENAME TO edit_step;
CREATE INDEX edit_step_by_study ON edit_step (study_id, step_id);

CREATE TRIGGER edit_step_keeps_rows BEFORE UPDATE ON edit_step
BEGIN SELECT RAISE(ABORT, 'edit_step is append-only'); END;
CREATE TRIGGER edit_step_loses_none BEFORE DELETE ON edit_step
BEGIN SELECT RAISE(ABORT, 'edit_step is append-only'); END;
CREATE TRIGGER edit_step_replaces_none BEFORE INSERT ON edit_step WHEN EXISTS (SELECT 1 FROM edit_step WHERE step_id = NEW.step_id)
BEGIN SELECT RAISE(ABORT, 'edit_step is append-only'); END;
