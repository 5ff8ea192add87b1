"""The review page: one self-contained HTML file that tells what a run came to."""
