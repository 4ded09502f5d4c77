"""Databases of one's own: a sample of their rows, copied into a dataset folder without questions, for teachers to write on.

A source is a SQLite file, a folder of CSV or Parquet files, or a database on a server. It says what tables it has and gives rows;
what is drawn of them, how foreign keys stay whole and what is masked does not depend on its kind.
"""
