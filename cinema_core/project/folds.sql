-- What format 6 changes.

-- The split ledger holds the fold that a patient is held out with, forever: each fold is left out in turn to measure a
-- model that learns from all. Up to format 5 it said training or validation, which no figure ever rested on; the order
-- of its rows, the one thing that was permanent, decides the folds of those patients.
CREATE TABLE split_fold (
    patient TEXT PRIMARY KEY,
    fold    INTEGER NOT NULL CHECK (fold >= 0),
    utc     TEXT NOT NULL
) STRICT;
INSERT INTO split_fold (patient, fold, utc)
SELECT patient, (row_number() OVER (ORDER BY rowid) - 1) % 3, utc FROM split_ledger ORDER BY rowid;
DROP TABLE split_ledger;

CREATE TRIGGER split_fold_keeps_rows BEFORE UPDATE ON split_fold
BEGIN SELECT RAISE(ABORT, 'the split ledger is permanent'); END;
CREATE TRIGGER split_fold_loses_none BEFORE DELETE ON split_fold
BEGIN SELECT RAISE(ABORT, 'the split ledger is permanent'); END;
CREATE TRIGGER split_fold_replaces_none BEFORE INSERT ON split_fold WHEN EXISTS (SELECT 1 FROM split_fold WHERE patient = NEW.patient)
BEGIN SELECT RAISE(ABORT, 'the split ledger is permanent'); END;
