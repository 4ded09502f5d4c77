"""A shop's database as somebody keeps it: 60 customers, 200 orders of theirs, employees with managers."""

import sqlite3
from contextlib import closing
from pathlib import Path

TABLES = """
CREATE TABLE customers(customer_id INTEGER PRIMARY KEY, full_name TEXT NOT NULL, email TEXT, city TEXT, signedUp DATE,
    photo BLOB);
CREATE TABLE employees(id INTEGER PRIMARY KEY, name TEXT, salary REAL, manager_id INTEGER REFERENCES employees(id));
CREATE TABLE orders(order_id INTEGER PRIMARY KEY, customer_email TEXT, customer_id INTEGER REFERENCES customers(customer_id),
    sales_rep_id INTEGER REFERENCES employees(id), ordered_at TEXT, status TEXT, shipping_cost REAL);
"""
NAMES = ("Ann Berg", "Bob Chen", "Cleo Diaz", "Dan Evans", "Eva Fox", "Finn Hall", "Gita Ito")
CITIES = ("Ghent", "Turku", "Porto", "Lyon", "Graz")
STATUSES = ("shipped", "pending", "returned")


def customers() -> list[tuple]:
    return [
        (
            i,
            NAMES[i % 7],
            f"{NAMES[i % 7].split()[0].lower()}{i}@mail.com",
            CITIES[i % 5],
            f"20{10 + i % 9}-0{1 + i % 9}-1{i % 9}",
            b"\0",
        )
        for i in range(1, 61)
    ]


def orders() -> list[tuple]:
    emails = [customer[2] for customer in customers()]
    return [
        (
            i,
            emails[i * 7 % 60],
            i * 7 % 60 + 1,
            i % 20 + 1,
            f"202{i % 4}-0{1 + i % 9}-1{i % 9} 0{i % 10}:30:00",
            STATUSES[i * i % 3],
            None if i % 10 == 0 else i % 37 + 0.5,
        )
        for i in range(1, 201)
    ]


def write_shop(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", customers())
        employees = [(i, NAMES[i % 7], 1000.0 * (30 + i), i // 2 or None) for i in range(1, 21)]
        connection.executemany("INSERT INTO employees VALUES (?, ?, ?, ?)", employees)
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", orders())
        connection.commit()
    return path


def rows(database: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()
