-- What format 4 adds.

-- How unsure the model was of a slice that it drew, beside the journal's row of that drawing.
CREATE TABLE slice_uncertainty (
    row_id      INTEGER PRIMARY KEY REFERENCES journal (row_id),
    uncertainty REAL NOT NULL CHECK (uncertainty BETWEEN 0 AND 1)
) STRICT;

CREATE TRIGGER slice_uncertainty_keeps_rows BEFORE UPDATE ON slice_uncertainty
BEGIN SELECT RAISE(ABORT, 'slice_uncertainty is append-only'); END;
CREATE TRIGGER slice_uncertainty_loses_none BEFORE DELETE ON slice_uncertainty
BEGIN SELECT RAISE(ABORT, 'slice_uncertainty is append-only'); END;
CREATE TRIGGER slice_uncertainty_replaces_none BEFORE INSERT ON slice_uncertainty WHEN EXISTS (SELECT 1 FROM slice_uncertainty WHERE row_id = NEW.row_id)
BEGIN SELECT RAISE(ABORT, 'slice_uncertainty is append-only'); END;
