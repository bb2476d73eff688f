-- What format 10 adds.

-- How differently the model drew the mirror images of a slice, beside how unsure it was; NULL if it was shown none.
ALTER TABLE slice_uncertainty ADD COLUMN disagreement REAL CHECK (disagreement BETWEEN 0 AND 1);
