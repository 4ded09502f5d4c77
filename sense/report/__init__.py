"""What people read about a run: one HTML file with everything it made, and the card of a published model.

`material` reads the files, `results`, `making` and `cases` turn them into what the page shows, `figures` computes the
geometry of charts, `page` fills the Jinja files beside them. Nothing here depends on the clock or the network.
"""
