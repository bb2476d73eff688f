"""One command per figure; each prints one table with the machine it ran on."""
