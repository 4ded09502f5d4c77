"""The gateway: a question and a database in, SQL that has been run out. `sense serve`."""
