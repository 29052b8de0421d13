"""``genrank data init``: look at a log, guess what its columns are, draft a card for it."""
