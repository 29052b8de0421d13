"""Serving: one request at a time, with and without the history's cached keys and values."""
