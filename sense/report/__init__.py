"""What a person reads about a run: the HTML report, the Markdown beside a Kubeflow task, and the table of `sense results`.

`run_data` reads the files of a run. `results` and `contents` turn them into what the page shows, `charts` computes the geometry
of its charts, `page` fills the Jinja templates in this folder. Nothing here depends on the clock or the network.
`costs` shows what the stages have cost, apart from that page.
"""
