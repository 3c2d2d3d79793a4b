"""Pages, figures, tables of results and the claims judged on them."""
