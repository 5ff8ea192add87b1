"""How much a table may hold: what is more would take the machine's memory, or hours."""

MOST_BYTES = 2**30  # a table with a million rows and reports has fewer
MOST_CELLS = 100_000_000  # PadChest, which is wide and long, has 6 million
MOST_COLUMNS = 18_278  # openpyxl knows no more; Excel has 16,384
MOST_CHARACTERS = 2**24  # of a cell, in CSV; the longest reports have some 100,000
