-- What format 11 adds.

-- How many control points of a contour the reader's hand moved in the drag that made a row of the journal. Every row of
-- the contour tool has one from this format on; an older row has none, and nobody knows how many it was.
CREATE TABLE moved_points (
    row_id   INTEGER PRIMARY KEY REFERENCES journal (row_id),
    n_points INTEGER NOT NULL CHECK (n_points >= 0)
) STRICT;

CREATE TRIGGER moved_points_keeps_rows BEFORE UPDATE ON moved_points
BEGIN SELECT RAISE(ABORT, 'moved_points is append-only'); END;
CREATE TRIGGER moved_points_loses_none BEFORE DELETE ON moved_points
BEGIN SELECT RAISE(ABORT, 'moved_points is append-only'); END;
CREATE TRIGGER moved_points_replaces_none BEFORE INSERT ON moved_points WHEN EXISTS (SELECT 1 FROM moved_points WHERE row_id = NEW.row_id)
BEGIN SELECT RAISE(ABORT, 'moved_points is append-only'); END;
