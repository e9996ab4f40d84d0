"""View: the page of `spectrum view`.  Reads finished tables and shows them; no stage imports it."""
