"""Results: tables in, numbers and figures out.  One folder a result; what several share lies beside them."""
