"""Databases on servers, PostgreSQL, MySQL and MariaDB, by SQLAlchemy URL: connections that can only read, and values as SQLite's.

The gateway answers questions on such databases, and `sense own` copies a sample of one.
"""
