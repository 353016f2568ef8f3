"""How large numbers may be that PostgreSQL is to tell a mean or a variance of.

For both it adds up squares of numbers that are as many times as large as there are rows (the method
of Youngs and Cramer, in its `float8_accum`), and refuses the whole question where one of them is
beyond double precision, 1.8e308. These limits hold for 1e13 rows.
"""

LARGEST_SUMMED = 1e140
"""Of a number."""

LARGEST_SQUARED = 1e70
"""Of a number whose square is summed as well."""
