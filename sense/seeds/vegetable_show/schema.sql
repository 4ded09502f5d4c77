CREATE TABLE grower (
  grower_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  county TEXT NOT NULL,
  years_showing INTEGER NOT NULL,
  greenhouse_m2 REAL,
  secret_feed TEXT
);

CREATE TABLE entry (
  entry_id INTEGER PRIMARY KEY,
  grower_id INTEGER NOT NULL,
  show_year INTEGER NOT NULL,
  vegetable TEXT NOT NULL,
  weight_kg REAL NOT NULL,
  length_cm REAL,
  place INTEGER,
  judge TEXT NOT NULL,
  FOREIGN KEY (grower_id) REFERENCES grower (grower_id)
);
