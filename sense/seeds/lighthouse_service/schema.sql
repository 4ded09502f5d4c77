CREATE TABLE lighthouse (
  lighthouse_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  coast TEXT NOT NULL,
  year_lit INTEGER NOT NULL,
  tower_height_m REAL NOT NULL,
  range_nm INTEGER NOT NULL,
  automated_year INTEGER
);

CREATE TABLE keeper (
  keeper_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  birth_year INTEGER NOT NULL,
  home_town TEXT,
  certificate TEXT
);

CREATE TABLE posting (
  posting_id INTEGER PRIMARY KEY,
  lighthouse_id INTEGER NOT NULL,
  keeper_id INTEGER NOT NULL,
  rank TEXT NOT NULL,
  start_year INTEGER NOT NULL,
  end_year INTEGER,
  FOREIGN KEY (lighthouse_id) REFERENCES lighthouse (lighthouse_id),
  FOREIGN KEY (keeper_id) REFERENCES keeper (keeper_id)
);

CREATE TABLE lamp_fault (
  fault_id INTEGER PRIMARY KEY,
  lighthouse_id INTEGER NOT NULL,
  reported_on TEXT NOT NULL,
  cause TEXT NOT NULL,
  hours_dark REAL NOT NULL,
  fixed_by INTEGER,
  FOREIGN KEY (lighthouse_id) REFERENCES lighthouse (lighthouse_id),
  FOREIGN KEY (fixed_by) REFERENCES keeper (keeper_id)
);
