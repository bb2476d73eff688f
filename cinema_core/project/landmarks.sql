-- What format 2 adds to schema.sql.

-- Landmarks of a long-axis cine, one row per phase and change; the newest row of a phase counts.
-- Pixels (y, x), sub-pixel: insertion 1, insertion 2 of the mitral valve, apex.
CREATE TABLE landmarks (
    landmarks_id INTEGER PRIMARY KEY AUTOINCREMENT,
    study_id     TEXT NOT NULL REFERENCES study (study_id),
    t            INTEGER NOT NULL CHECK (t >= 0),
    points_yx    TEXT NOT NULL,            -- JSON, [[y, x], [y, x], [y, x]]
    source       TEXT NOT NULL CHECK (source IN ('model', 'reader')),
    model_sha256 TEXT NOT NULL,
    reader       TEXT NOT NULL,
    utc          TEXT NOT NULL
) STRICT;
CREATE INDEX landmarks_by_phase ON landmarks (study_id, t, landmarks_id);

CREATE TRIGGER landmarks_keeps_rows BEFORE UPDATE ON landmarks
BEGIN SELECT RAISE(ABORT, 'landmarks are append-only'); END;
CREATE TRIGGER landmarks_loses_none BEFORE DELETE ON landmarks
BEGIN SELECT RAISE(ABORT, 'landmarks are append-only'); END;
CREATE TRIGGER landmarks_replaces_none BEFORE INSERT ON landmarks WHEN EXISTS (SELECT 1 FROM landmarks WHERE landmarks_id = NEW.landmarks_id)
BEGIN SELECT RAISE(ABORT, 'landmarks are append-only'); END;
