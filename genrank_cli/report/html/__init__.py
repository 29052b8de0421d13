"""A report as one page without a network: HTML, CSS and SVG made here."""
