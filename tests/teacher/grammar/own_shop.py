"""A dataset folder with a shop's database, as `sense own` writes it: names in several styles, codes, dates with times."""

import sqlite3
from contextlib import closing
from pathlib import Path

TABLES = """
CREATE TABLE Customers(CustomerID INTEGER PRIMARY KEY, FullName TEXT, Email TEXT, City TEXT, signedUp DATE, is_active BOOLEAN,
    tier TEXT, notes TEXT);
CREATE TABLE employees(id INTEGER PRIMARY KEY, name TEXT, salary REAL, manager_id INTEGER REFERENCES employees(id));
CREATE TABLE products(product_id INTEGER PRIMARY KEY, product_name TEXT, unit_price REAL, weight_kg REAL, zip TEXT);
CREATE TABLE orders(order_id INTEGER PRIMARY KEY, cust_id INTEGER REFERENCES Customers(CustomerID),
    sales_rep INTEGER REFERENCES employees(id), ordered_at TEXT, status TEXT, shipping_cost REAL);
CREATE TABLE order_items(order_id INTEGER REFERENCES orders(order_id), product_id INTEGER REFERENCES products(product_id),
    quantity INTEGER, PRIMARY KEY(order_id, product_id));
"""
FIRST = ("Ann", "Bob", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo", "Ida")
LAST = ("Berg", "Chen", "Diaz", "Evans", "Fox", "Hall", "Ito")
CITIES = ("Ghent", "Turku", "Porto", "Lyon", "Graz")


def write_own_shop(folder: Path) -> Path:
    """Writes the dataset folder."""
    path = folder / "databases/shop/shop.sqlite"
    path.parent.mkdir(parents=True)
    people = [f"{first} {last}" for last in LAST for first in FIRST]
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
        for i in range(60):
            note = f"A long note about customer {i}, of which nobody would ever ask anything at all: {'x' * i}"
            row = (
                *(
                    i + 1,
                    people[i],
                    f"c{i}@mail.com",
                    CITIES[i * i % 5],
                    f"20{10 + i % 13}-0{1 + i % 9}-{10 + i % 18}",
                    i % 3 == 0,
                ),
                *("ABC"[i % 3], note),
            )
            connection.execute("INSERT INTO Customers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        for i in range(20):
            row = (i + 1, people[-i - 1], 1000.0 * (30 + i * 7 % 23), i // 3 or None)
            connection.execute("INSERT INTO employees VALUES (?, ?, ?, ?)", row)
        for i in range(30):
            row = (
                i + 1,
                f"{LAST[i % 7]} {('Lamp', 'Desk', 'Fan', 'Mug', 'Vase')[i % 5]} {i}",
                3.5 + i * 13 % 40,
                0.5 + i % 9,
                f"0{i}1",
            )
            connection.execute("INSERT INTO products VALUES (?, ?, ?, ?, ?)", row)
        for i in range(150):
            time = f"202{i % 5}-{1 + i % 12:02}-{10 + i % 18} 0{i % 10}:30:00"
            row = (i + 1, i * 7 % 45 + 1, i % 17 + 1, time, ("shipped", "pending", "returned")[i * i % 3], i % 37 + 0.5)
            connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", row)
            for product in {i % 30, i * i % 30}:
                connection.execute("INSERT INTO order_items VALUES (?, ?, ?)", (i + 1, product + 1, 1 + (i + product) % 9))
        connection.commit()
    return folder


def write_glossary(folder: Path, text: str) -> Path:
    """Writes the glossary of the shop."""
    path = folder / "glossary/shop.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return folder
