-- What format 12 adds.

-- By how many pixels the areas of the cavities differ between the answers to the mirror images of a slice; NULL if the
-- model was shown none, or drew the slice for an older program.
ALTER TABLE slice_uncertainty ADD COLUMN lv_spread_px REAL CHECK (lv_spread_px >= 0);
ALTER TABLE slice_uncertainty ADD COLUMN rv_spread_px REAL CHECK (rv_spread_px >= 0);
