"""SQL for requests, as sqlglot trees."""
