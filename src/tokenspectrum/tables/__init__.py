"""Tables: the Arrow schemas of the data model, one module a table, so that a stage imports only what it writes."""
