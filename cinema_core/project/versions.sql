-- What format 5 adds.

-- What a reader calls a model version; the newest row of a version counts.
CREATE TABLE version_title (
    title_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL REFERENCES model_version (name),
    title    TEXT NOT NULL,
    utc      TEXT NOT NULL
) STRICT;

-- Versions whose weights were removed. Their row in model_version stays: labels may have started from them.
CREATE TABLE version_removed (
    name TEXT PRIMARY KEY REFERENCES model_version (name),
    utc  TEXT NOT NULL
) STRICT;

CREATE TRIGGER version_title_keeps_rows BEFORE UPDATE ON version_title
BEGIN SELECT RAISE(ABORT, 'version_title is append-only'); END;
CREATE TRIGGER version_title_loses_none BEFORE DELETE ON version_title
BEGIN SELECT RAISE(ABORT, 'version_title is append-only'); END;
CREATE TRIGGER version_title_replaces_none BEFORE INSERT ON version_title WHEN EXISTS (SELECT 1 FROM version_title WHERE title_id = NEW.title_id)
BEGIN SELECT RAISE(ABORT, 'version_title is append-only'); END;

CREATE TRIGGER version_removed_keeps_rows BEFORE UPDATE ON version_removed
BEGIN SELECT RAISE(ABORT, 'version_removed is append-only'); END;
CREATE TRIGGER version_removed_loses_none BEFORE DELETE ON version_removed
BEGIN SELECT RAISE(ABORT, 'version_removed is append-only'); END;
CREATE TRIGGER version_removed_replaces_none BEFORE INSERT ON version_removed WHEN EXISTS (SELECT 1 FROM version_removed WHERE name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'version_removed is append-only'); END;
